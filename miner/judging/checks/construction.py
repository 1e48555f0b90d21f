"""What the attack did to make the text, where that alone rules out sense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np

from corpus.records import digest
from miner.judging.checks.base import Check, Floats, Materials, Subject
from miner.judging.checks.words import words_of

MIN_REPEATS = 4
MIN_RANDOM_WORDS = 6
MIN_SHUFFLED_WORDS = 8
MAX_ORDER_KEPT = 0.5


@dataclass(frozen=True, kw_only=True)
class Construction(Check):
    """1.0 for a text whose attack claims a construction that the text does not contradict, abstention otherwise.

    Random words and gibberish cannot be told from other text: there the text can only contradict the claim, by too few
    different words to rule out a chance sentence. A repeated token can be seen. A shuffle has at least eight different
    words, of which at most half still follow each other as in the reference. Never a vote for sense.
    """

    name: ClassVar[str] = "construction"
    fixed_threshold: ClassVar[float | None] = 0.5

    @classmethod
    def of(cls, _materials: Materials) -> Construction:
        return cls()

    @property
    def identity(self) -> str:
        return digest([self.name, MIN_REPEATS, MIN_RANDOM_WORDS, MIN_SHUFFLED_WORDS, MAX_ORDER_KEPT])

    def values(self, subjects: Sequence[Subject]) -> Floats:
        return np.array([1.0 if _borne_out(subject) else np.nan for subject in subjects], dtype=np.float64)


def _borne_out(subject: Subject) -> bool:
    words = words_of(subject.response)
    match subject.construction:
        case "repeated_token":
            return _is_repeated(subject.response)
        case "random_words" | "gibberish":
            return len(set(words)) >= MIN_RANDOM_WORDS
        case "shuffled_words":
            return len(set(words)) >= MIN_SHUFFLED_WORDS and _order_kept(words, subject.reference) <= MAX_ORDER_KEPT
        case None:
            return False


def _is_repeated(text: str) -> bool:
    """One unit at least ``MIN_REPEATS`` times and nothing else, with or without spaces between."""
    words = text.lower().split()
    if len(words) >= MIN_REPEATS:
        return len(set(words)) == 1
    joined = "".join(words)
    period = (joined + joined).find(joined, 1) if joined else 0
    return 0 < period <= len(joined) // MIN_REPEATS


def _order_kept(words: Sequence[str], reference: str | None) -> float:
    """Share of neighbours that are neighbours in the reference too: a search over shuffles may undo its shuffling."""
    expected = set(pairwise(words_of(reference or "")))
    return sum(pair in expected for pair in pairwise(words)) / (len(words) - 1)
