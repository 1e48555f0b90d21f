"""Random search over single-token edits: the control of every gradient attack.

The same start, edits, merging, acceptance and restarts as ``gcg``; position and replacement are drawn blindly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from attacks.base import Attack, Range
from attacks.climb import Proposal, climb, random_words
from attacks.queries import RandomSwaps, Search, ask, draw_seed


@dataclass(frozen=True, kw_only=True)
class RandomSearch(Attack):
    """``n_words`` random words to start from; per step ``width`` random single-token edits. After ``patience`` steps
    without a better text, ``perturbations`` of them at once."""

    name: ClassVar[str] = "random"
    family: ClassVar[str] = "random"
    space: ClassVar[Mapping[str, Range]] = {
        "n_words": Range(6, 40, log=True),
        "width": Range(6, 96, log=True),
        "patience": Range(1, 8),
        "perturbations": Range(1, 8),
    }

    n_words: int = 14
    width: int = 12
    patience: int = 4
    perturbations: int = 3

    @property
    def min_budget(self) -> int:
        return 1 + self.width

    def search(self, seed: int) -> Search:
        rng = np.random.default_rng(seed)
        yield from climb(
            rng,
            start=random_words(self.n_words, rng),
            patience=self.patience,
            perturbations=self.perturbations,
            propose=self._propose,
        )

    def _propose(self, text: str, rng: np.random.Generator) -> Proposal:
        return (yield from ask(RandomSwaps(text, self.width, seed=draw_seed(rng))))
