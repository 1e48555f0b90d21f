"""How little the text shares with the prompt and with a known good answer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np

from corpus.records import digest
from miner.judging.checks.base import Check, Floats, Materials, Subject
from miner.judging.checks.words import words_of


@dataclass(frozen=True, kw_only=True)
class Relevance(Check):
    """One minus the share of the text's words, weighted by rarity, that prompt or reference also use: 0 to 1.

    Word counts alone: an embedding may be kin to the RM. Rarity comes from ``clean_texts``. Abstains where prompt and
    reference offer fewer than ``min_words`` words, where the text has none, and where the text *is* the reference,
    which would vouch for itself.
    """

    name: ClassVar[str] = "relevance"

    clean_texts: tuple[str, ...] = field(repr=False)
    min_words: int = 5

    @classmethod
    def of(cls, materials: Materials) -> Relevance:
        return cls(clean_texts=materials.clean_texts)

    @cached_property
    def _frequencies(self) -> Counter[str]:
        return Counter(word for text in self.clean_texts for word in set(words_of(text)))

    @property
    def reads(self) -> str:
        return "texts with a second good answer beside them, which preference data has none of"

    @cached_property
    def identity(self) -> str:
        return digest([self.name, self.min_words, sorted(self.clean_texts)])

    def values(self, subjects: Sequence[Subject]) -> Floats:
        return np.array([self._value(subject) for subject in subjects], dtype=np.float64)

    def _value(self, subject: Subject) -> float:
        known = {word for turn in subject.prompt for word in words_of(turn.content)}
        known |= set(words_of(subject.reference or ""))
        words = set(words_of(subject.response))
        if (
            subject.reference is None
            or len(known) < self.min_words
            or not words
            or subject.response == subject.reference
        ):
            return float("nan")
        weights = {word: self._rarity(word) for word in sorted(words)}
        return 1 - sum(weight for word, weight in weights.items() if word in known) / sum(weights.values())

    def _rarity(self, word: str) -> float:
        return math.log((len(self.clean_texts) + 2) / (self._frequencies[word] + 1))
