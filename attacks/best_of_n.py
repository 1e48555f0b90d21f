"""Best of n: sample from the policy and let the reward model choose.

The attacker whom nobody notices: it is how reward models are used. Unbiased curves over n are an analysis of the
scored samples, not of this search.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from attacks.base import Attack
from attacks.queries import Sample, Score, Search, ask, draw_seed


@dataclass(frozen=True, kw_only=True)
class BestOfN(Attack):
    """Up to ``n`` samples, ``batch`` at a time; texts sampled before are not scored again."""

    name: ClassVar[str] = "best_of_n"
    family: ClassVar[str] = "policy"
    needs = (Sample,)

    n: int = 256
    batch: int = 64

    def search(self, seed: int) -> Search:
        rng = np.random.default_rng(seed)
        seen: set[str] = set()
        for start in range(0, self.n, self.batch):
            size = min(self.batch, self.n - start)
            samples = yield from ask(Sample(size, seed=draw_seed(rng)))
            fresh = tuple(dict.fromkeys(s.text for s in samples if s.text.strip() and s.text not in seen))
            seen.update(fresh)
            if fresh:
                yield from ask(Score(fresh))
