"""Texts of older rounds, carried along from the old weights to the patched ones.

What a patch is worth against somebody who has both models. Checkpoint-GCG carries suffixes along training checkpoints
(Yang et al. 2025, arXiv:2505.15738): on models trained against attacks it took success from 6 to 88 %. Here the way is
the straight line between the two sets of weights, so that no checkpoints are needed; the campaign walks it and gives
the search what it arrived with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from attacks.base import Range
from attacks.climb import best_of, climb, random_words
from attacks.gcg import GCG
from attacks.queries import Carried, Query, Search, Swaps, ask


@dataclass(frozen=True, kw_only=True)
class CarriedAlong(GCG):
    """As ``gcg``, but it starts from texts of earlier rounds: up to ``starts`` of them go along the way in ``stages``,
    which together may take ``share`` of the budget. Without any, from random words."""

    name: ClassVar[str] = "carried"
    adaptive: ClassVar[bool] = True
    needs: ClassVar[tuple[type[Query[Any]], ...]] = (Carried, Swaps)
    space: ClassVar[Mapping[str, Range]] = {}

    starts: int = 4
    stages: int = 3
    share: float = 0.5

    def __post_init__(self) -> None:
        if self.starts < 1 or self.stages < 0 or not 0 <= self.share < 1:
            raise ValueError(
                f"starts has to be at least 1, stages at least 0 and share in [0, 1); got {self.starts}, {self.stages} "
                f"and {self.share}"
            )

    def search(self, seed: int) -> Search:
        rng = np.random.default_rng(seed)
        texts = yield from ask(Carried())
        yield from climb(
            rng,
            start=best_of(texts) if texts else random_words(self.n_words, rng),
            patience=self.patience,
            perturbations=self.perturbations,
            propose=self._propose,
        )
