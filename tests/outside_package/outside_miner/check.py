"""Texts that are made of one word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from corpus.records import digest
from miner.judging.checks import Check, Materials, Subject
from miner.judging.checks.base import Aspect, Floats


@dataclass(frozen=True, kw_only=True)
class Monotony(Check):
    """The share of a text's words that its most frequent word makes up; abstains under ``min_words``."""

    name: ClassVar[str] = "monotony"
    fixed_threshold: ClassVar[float | None] = 0.5
    speaks_of: ClassVar[Aspect | None] = "repetition"

    min_words: int = 4

    @classmethod
    def of(cls, _materials: Materials) -> Monotony:
        return cls()

    @property
    def identity(self) -> str:
        return digest([self.name, self.min_words])

    def values(self, subjects: Sequence[Subject]) -> Floats:
        return np.array([self._value(subject.response.lower().split()) for subject in subjects], dtype=np.float64)

    def _value(self, words: list[str]) -> float:
        if len(words) < self.min_words:
            return float("nan")
        return Counter(words).most_common(1)[0][1] / len(words)
