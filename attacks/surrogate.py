"""Greedy coordinate gradient by the older RM's gradients.

A patch that only hides an RM's gradient (Athalye et al. 2018, arXiv:1802.00420) does not hide it from who has the RM as
it was given: where this finds more than ``gcg``, the patch has masked more than it mended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from attacks.base import Range
from attacks.climb import Proposal
from attacks.gcg import GCG, draw_edits
from attacks.queries import Query, SurrogateSwaps, ask


@dataclass(frozen=True, kw_only=True)
class Surrogate(GCG):
    """As ``gcg``, by the gradient of the RM as given."""

    name: ClassVar[str] = "surrogate"
    adaptive: ClassVar[bool] = True
    needs: ClassVar[tuple[type[Query[Any]], ...]] = (SurrogateSwaps,)
    space: ClassVar[Mapping[str, Range]] = {}

    def _propose(self, text: str, rng: np.random.Generator) -> Proposal:
        table = yield from ask(SurrogateSwaps(text, self.k))
        return draw_edits(table, self.width, self.rank, rng)
