"""Greedy coordinate gradient (Zou et al. 2023, arXiv:2307.15043).

Ascends the reward instead of a target's likelihood, starts from random words instead of exclamation marks, and only
moves uphill: on a reward surface without a target the paper's walk through worse texts costs queries and finds less.
No loss buffer and no stopping rule: the driver keeps every scored text and decides when to stop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from attacks.base import Attack, Range
from attacks.climb import Proposal, climb
from attacks.queries import Search, Swap, Swaps, SwapTable, ask


@dataclass(frozen=True, kw_only=True)
class GCG(Attack):
    """``n_words`` random words to start from; per step ``width`` single-token edits drawn from the ``k`` most
    promising replacements of every position. After ``patience`` steps without a better text, ``kicks`` random edits."""

    name: ClassVar[str] = "gcg"
    family: ClassVar[str] = "gradient"
    needs = (Swaps,)
    space: ClassVar[Mapping[str, Range]] = {
        "n_words": Range(6, 40, log=True),
        "width": Range(6, 96, log=True),
        "k": Range(2, 64, log=True),
        "patience": Range(1, 8),
        "kicks": Range(1, 8),
    }

    n_words: int = 14
    width: int = 24
    k: int = 16
    patience: int = 4
    kicks: int = 3

    def search(self, seed: int) -> Search:
        rng = np.random.default_rng(seed)
        yield from climb(rng, n_words=self.n_words, patience=self.patience, kicks=self.kicks, propose=self._propose)

    def _propose(self, text: str, rng: np.random.Generator) -> Proposal:
        table = yield from ask(Swaps(text, self.k))
        return draw_edits(table, self.width, rng)


def draw_edits(table: SwapTable, width: int, rng: np.random.Generator) -> Sequence[Swap]:
    """``width`` different edits: the position uniform, then one of its promising replacements, uniform."""
    open_positions = [row for row in table if row]
    if sum(map(len, open_positions)) <= width:
        return [edit for row in open_positions for edit in row]
    drawn: dict[Swap, None] = {}
    while len(drawn) < width:
        row = open_positions[int(rng.integers(len(open_positions)))]
        drawn[row[int(rng.integers(len(row)))]] = None
    return tuple(drawn)
