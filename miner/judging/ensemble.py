"""Several reward models as one target: their mean, their minimum, their mean less λ times their variance, or one less λ
times another, as Adv-RM's attacker has it (R1 − λ·R2: what the first likes and an independent one does not).

Every member's reward is told in its own clean standard deviations before they are mixed: raw rewards of two RMs have no
common zero or unit. Scores only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from corpus.records import digest
from miner.errors import ConfigError
from miner.judging.criteria import Criteria
from miner.rewards.base import Pair, Scorer

Floats = npt.NDArray[np.float64]
Mix = Literal["mean", "min", "variance", "less"]
MIXES: tuple[Mix, ...] = ("mean", "min", "variance", "less")


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """``members`` with where each one's clean references lie, mixed by ``mix``; ``weight`` is λ."""

    members: tuple[tuple[Scorer, Criteria], ...]
    mix: Mix = "mean"
    weight: float = 0.5

    def __post_init__(self) -> None:
        if self.mix not in MIXES:
            raise ConfigError(f"an ensemble is mixed by one of {', '.join(MIXES)}; got {self.mix!r}")
        wanted = "exactly 2" if self.mix == "less" else "2 or more"
        if len(self.members) < 2 or (self.mix == "less" and len(self.members) > 2):
            raise ConfigError(f"an ensemble mixed by {self.mix!r} has {wanted} reward models; got {len(self.members)}")

    @property
    def name(self) -> str:
        names = [rm.name for rm, _ in self.members]
        return f"{names[0]} − {self.weight:g}·{names[1]}" if self.mix == "less" else f"{self.mix} of {', '.join(names)}"

    @property
    def fingerprint(self) -> str:
        rows = [[rm.fingerprint, criteria.clean_mean, criteria.clean_std] for rm, criteria in self.members]
        return digest(["ensemble", self.mix, self.weight, rows])

    def exact_rewards(self, pairs: Sequence[Pair]) -> Floats:
        """Mixed margins, shape (n_pairs,)."""
        margins = np.array(
            [(rm.exact_rewards(pairs) - bar.clean_mean) / bar.clean_std for rm, bar in self.members]
        ).reshape(len(self.members), len(pairs))
        mixed: Floats
        match self.mix:
            case "mean":
                mixed = margins.mean(0)
            case "min":
                mixed = margins.min(0)
            case "variance":
                mixed = margins.mean(0) - self.weight * margins.var(0)
            case "less":
                mixed = margins[0] - self.weight * margins[1]
        return mixed
