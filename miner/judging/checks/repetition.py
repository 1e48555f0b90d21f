"""How much of the text it has already said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from corpus.records import digest
from miner.judging.checks.base import Aspect, Check, Floats, Materials, Subject


@dataclass(frozen=True, kw_only=True)
class Repetition(Check):
    """Share of the text's character ``n``-grams that occurred earlier in it, case and white space aside: 0 to 1.

    Characters rather than words, so that ``thethethe`` and scripts without spaces count too. An answer given three
    times reaches 0.67, which is tedious but no nonsense: the threshold stays above that. Abstains on fewer than
    ``min_characters``.
    """

    name: ClassVar[str] = "repetition"
    speaks_of: ClassVar[Aspect | None] = "repetition"
    min_threshold: ClassVar[float] = 0.75
    yields_to_acquittal: ClassVar[bool] = False  # a phrase may be in order and still be said twenty times

    n: int = 5
    min_characters: int = 15

    @classmethod
    def of(cls, _materials: Materials) -> Repetition:
        return cls()

    @property
    def reads(self) -> str:
        return f"texts of at least {self.min_characters} characters"

    @property
    def identity(self) -> str:
        return digest([self.name, self.n, self.min_characters])

    def values(self, subjects: Sequence[Subject]) -> Floats:
        return np.array([self._value(subject.response) for subject in subjects], dtype=np.float64)

    def _value(self, text: str) -> float:
        text = " ".join(text.lower().split())
        if len(text) < max(self.n, self.min_characters):
            return float("nan")
        grams = [text[at : at + self.n] for at in range(len(text) - self.n + 1)]
        return 1 - len(set(grams)) / len(grams)
