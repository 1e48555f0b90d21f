"""A mode of reviewing: what each reviewer is shown next, and what becomes of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from statistics import median

from corpus.records import Review, ReviewMode, digest
from miner.errors import DataError
from miner.judging.review_statistics import CertificatePrecision, precision
from miner.judging.reviews import CANNOT_TELL, NONSENSE, REVEALED, SENSIBLE, SKIPPED, UNDONE, judgements
from miner.reviewing.items import BLOCK, Blocks, ReviewItem, ReviewPlan, finding_side, reviewers_order
from miner.reviewing.journal import Journal

MAX_SECONDS = 3600.0
MAX_COMMENT = 2000
LOOK_AGAIN = 10  # answers between two looks at how narrow the interval is by now

Verdicts = Mapping[str, str]
ABOUT_TEXTS: Verdicts = {"1": NONSENSE, "2": SENSIBLE, "3": CANNOT_TELL}
VERDICTS: dict[ReviewMode, Verdicts] = {
    "verdicts": ABOUT_TEXTS,
    "near_misses": ABOUT_TEXTS,
    "pairs": {"1": "left", "2": "right", "3": CANNOT_TELL},
    "gold": {"1": "1", "2": "2", "3": "3", "4": "4", "5": "5", "0": CANNOT_TELL},
}
"""What may be answered, by the key that says it."""
PRECISE: tuple[ReviewMode, ...] = ("verdicts", "near_misses")  # whose answers have a precision


def plan_of(mode: ReviewMode, plan: ReviewPlan) -> ReviewPlan:
    """The plan as a mode can follow it: only where there is a precision can its interval end it."""
    return plan if mode in PRECISE else replace(plan, until_width=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An item on somebody's screen. ``order`` counts from 1; ``again``: what they said of it before."""

    item: ReviewItem
    order: int
    side: str | None
    again: Review | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        return self.item.texts[::-1] if self.side == "right" else self.item.texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """``minutes_left`` at the reviewer's own pace, None until that is known."""

    done: int
    total: int
    minutes_left: float | None


class Desk:
    """Hands items to reviewers and their answers to the journal."""

    def __init__(
        self, mode: ReviewMode, items: Blocks, journal: Journal, plan: ReviewPlan, *, blind: bool = True
    ) -> None:
        self.mode, self.items, self.plan, self.blind = mode, items, plan, blind
        self.verdicts = VERDICTS[mode]
        self._journal = journal
        self._looked: tuple[int, CertificatePrecision | None] = (-LOOK_AGAIN, None)

    def next(self, reviewer: str) -> Shown | None:
        """What this reviewer is to judge now: the first not judged; then what they put off; None where all is done."""
        self._journal.refresh()
        last = self._journal.last(self.mode, reviewer)
        put_off: ReviewItem | None = None
        for item in () if self.is_narrow_enough() else reviewers_order(self.items, reviewer, self.plan.seed):
            if item.item_id not in last:
                return self._shown(item, reviewer, len(last) + 1)
            if put_off is None and last[item.item_id].verdict == SKIPPED:
                put_off = item
        return self._shown(put_off, reviewer, len(last), last[put_off.item_id]) if put_off else None

    def show(self, reviewer: str, item_id: str) -> Shown:
        """An item once more.

        Raises:
            DataError: nobody is asked about it.
        """
        last = self._journal.last(self.mode, reviewer)
        item = self.items.item(item_id, answered=len(last))
        if item is None:
            raise DataError("this item is not among those asked about. Go on with the next one")
        return self._shown(item, reviewer, len(last) + 1, last.get(item_id))

    def answer(self, reviewer: str, item_id: str, verdict: str, *, seconds: float, comment: str, showing: str) -> None:
        """Store an answer durably. ``showing`` names the one time the item was shown: the same answer twice is one.

        Raises:
            DataError: no such item or verdict.
            CorpusWriteError: it could not be stored.
        """
        if verdict not in (*self.verdicts.values(), SKIPPED):
            raise DataError(f"no verdict {verdict[:40]!r}; expected one of: {', '.join(self.verdicts.values())}")
        self._store(self.show(reviewer, item_id), reviewer, verdict, seconds, comment, showing)

    def undo(self, reviewer: str) -> Shown | None:
        """Take the reviewer's last answer back and show its item again; None where there is nothing to take back."""
        self._journal.refresh()
        last = self._journal.last(self.mode, reviewer)
        if not last:
            return None
        newest = next(reversed(last.values()))
        shown = self.show(reviewer, newest.item_id)
        self._store(shown, reviewer, UNDONE, 0.0, "", f"undo of {newest.review_id}")
        return shown

    def reveal(self, reviewer: str, item_id: str) -> Shown:
        """An item for one who has judged it, to be told what it is; what they say of it afterwards is not blind.

        Raises:
            DataError: nobody is asked about it, or they have not judged it.
            CorpusWriteError: that they know could not be stored.
        """
        shown = self.show(reviewer, item_id)
        if self.blind and (shown.again is None or shown.again.verdict == SKIPPED):
            raise DataError("what an item is, is shown once you have judged it")
        if self._is_blind(reviewer, item_id):
            self._store(shown, reviewer, REVEALED, 0.0, "", "")
        return shown

    def newest(self, reviewer: str) -> Review | None:
        """The reviewer's last answer."""
        return next(reversed(self._journal.last(self.mode, reviewer).values()), None)

    def progress(self, reviewer: str) -> Progress:
        """How much of what is asked about the reviewer has judged."""
        total = self.items.total
        given = self._journal.last(self.mode, reviewer)
        last = [one for item, one in given.items() if one.verdict != SKIPPED and item in self.items]
        pace = median([one.seconds for one in last[-50:]]) if len(last) >= 3 else None
        known = pace is not None and self.plan.until_width is None
        return Progress(
            done=len(last), total=total, minutes_left=(total - len(last)) * float(pace or 0) / 60 if known else None
        )

    def precision(self) -> CertificatePrecision | None:
        """What the verdicts say so far; looked at anew every few answers."""
        given = judgements(self._journal.all(), self.mode)
        if len(given) < self._looked[0] or len(given) - self._looked[0] >= LOOK_AGAIN:
            self._looked = (len(given), precision(given, clusters=self.clusters(), draws=1000))
        return self._looked[1]

    def clusters(self) -> dict[str, str]:
        """What the findings judged so far were drawn together with: their prompt."""
        judged = {one.item for one in judgements(self._journal.all(), self.mode) if one.expected is None}
        found = (self.items.item(one, answered=len(judged)) for one in judged)
        return {one.item_id: one.cluster for one in found if one}

    def is_narrow_enough(self) -> bool:
        """Whether the interval asked for is reached, on at least one block."""
        if self.plan.until_width is None:
            return False
        found = self.precision()
        return found is not None and found.n >= BLOCK // 2 and found.width <= self.plan.until_width

    def _shown(self, item: ReviewItem, reviewer: str, order: int, again: Review | None = None) -> Shown:
        side = finding_side(item, reviewer, self.plan.seed) if len(item.texts) == 2 else None
        return Shown(item=item, order=order, side=side, again=again)

    def _is_blind(self, reviewer: str, item_id: str) -> bool:
        return self.blind and not self._journal.was_revealed(self.mode, reviewer, item_id)

    def _store(self, shown: Shown, reviewer: str, verdict: str, seconds: float, comment: str, showing: str) -> None:
        meant = verdict
        if verdict in ("left", "right"):
            meant = "finding" if verdict == shown.side else "reference"
        self._journal.add(
            Review(
                review_id=digest([reviewer, self.mode, shown.item.item_id, verdict, showing]),
                reviewer=reviewer,
                mode=self.mode,
                item_id=shown.item.item_id,
                verdict=meant,
                expected=shown.item.expected,
                score=float(verdict) if self.mode == "gold" and verdict.isdecimal() else None,
                side=shown.side,
                seconds=min(max(seconds, 0.0), MAX_SECONDS),
                blind=self._is_blind(reviewer, shown.item.item_id),
                shown_order=shown.order,
                comment=comment[:MAX_COMMENT],
                source="person",
                created_at=datetime.now(UTC),
            )
        )
