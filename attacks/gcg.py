"""Greedy coordinate gradient (Zou et al. 2023, arXiv:2307.15043).

Ascends the reward instead of a target's likelihood, starts from random words instead of exclamation marks, and only
moves uphill: on a reward surface without a target the paper's walk through worse texts costs queries and finds less.
Every position gets its share of the candidates, better predictions more often, where the paper draws positions and
replacements uniformly from a long list; edits that help are merged. No loss buffer and no stopping rule: the driver
decides when to stop. What each change is worth: ``scripts/bench_search``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from attacks.base import Attack, Range
from attacks.climb import Proposal, climb, random_words
from attacks.queries import QUERIES_PER_GRADIENT, Query, Search, Swap, Swaps, SwapTable, ask


@dataclass(frozen=True, kw_only=True)
class GCG(Attack):
    """``n_words`` random words to start from; per step ``width`` single-token edits, drawn from the ``k`` most
    promising replacements of each position, mostly the first ``rank`` of them. After ``patience`` steps without a
    better text, ``perturbations`` random edits."""

    name: ClassVar[str] = "gcg"
    family: ClassVar[str] = "gradient"
    needs: ClassVar[tuple[type[Query[Any]], ...]] = (Swaps,)
    space: ClassVar[Mapping[str, Range]] = {
        "n_words": Range(6, 40, log=True),
        "width": Range(6, 96, log=True),
        "k": Range(2, 64, log=True),
        "rank": Range(0.5, 16, log=True),
        "patience": Range(1, 8),
        "perturbations": Range(1, 8),
    }

    n_words: int = 14
    width: int = 12
    k: int = 8
    rank: float = 2.0
    patience: int = 4
    perturbations: int = 3

    @property
    def min_budget(self) -> int:
        return 1 + QUERIES_PER_GRADIENT + self.width

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
        table = yield from ask(Swaps(text, self.k))
        return draw_edits(table, self.width, self.rank, rng)


def draw_edits(table: SwapTable, width: int, rank: float, rng: np.random.Generator) -> tuple[Swap, ...]:
    """``width`` different edits, positions in turn and in random order, better replacements first more often.

    The place in its position's list is exponential with mean ``rank``.
    """
    rows = [list(row) for row in table if row]
    drawn: list[Swap] = []
    while rows:
        for at in rng.permutation(len(rows)):
            if len(drawn) == width:
                return tuple(drawn)
            drawn.append(rows[at].pop(min(len(rows[at]) - 1, int(rng.exponential(rank)))))
        rows = [row for row in rows if row]
    return tuple(drawn)
