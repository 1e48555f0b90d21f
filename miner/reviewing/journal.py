"""What reviewers answered, as the corpus holds it: appended durably, and read as others append."""

from __future__ import annotations

import threading
from collections import defaultdict

from corpus import Corpus
from corpus.records import Review, ReviewMode
from miner.judging.reviews import REVEALED, UNDONE


class Journal:
    """The reviews of a corpus. Safe to share between threads; other processes may append to the corpus at once."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._follower = corpus.follow(Review)
        self._lock = threading.RLock()
        self._all: list[Review] = []
        self._last: defaultdict[tuple[ReviewMode, str], dict[str, Review]] = defaultdict(dict)
        self._revealed: set[tuple[ReviewMode, str, str]] = set()
        self.refresh()

    def refresh(self) -> None:
        """Take in what was published since the last time, here or elsewhere."""
        with self._lock:
            for one in self._follower.news():
                self._all.append(one)
                if one.verdict == REVEALED:
                    self._revealed.add((one.mode, one.reviewer, one.item_id))
                    continue
                last = self._last[one.mode, one.reviewer]
                last.pop(one.item_id, None)  # so that the newest stands last
                last[one.item_id] = one

    def add(self, review: Review) -> None:
        """Append; once this returns, the review is on the disk.

        Raises:
            CorpusWriteError: it is not; nothing was changed.
        """
        with self._lock:
            self._corpus.append(review)
            self.refresh()

    def all(self) -> list[Review]:
        with self._lock:
            return list(self._all)

    def last(self, mode: ReviewMode, reviewer: str) -> dict[str, Review]:
        """The reviewer's last answer to each item, the newest last; undone ones are left out."""
        with self._lock:
            last = self._last[mode, reviewer]
            return {item: one for item, one in last.items() if one.verdict != UNDONE}

    def was_revealed(self, mode: ReviewMode, reviewer: str, item_id: str) -> bool:
        """Whether the reviewer was shown what the item is."""
        with self._lock:
            return (mode, reviewer, item_id) in self._revealed

    def of_item(self, item_id: str) -> list[Review]:
        """Everybody's standing answers to one item."""
        with self._lock:
            found = [last[item_id] for last in self._last.values() if item_id in last]
        return [one for one in found if one.verdict != UNDONE]
