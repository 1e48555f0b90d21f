"""Samples of a policy trained against the reward model: the attacker of Adv-RM (2025, arXiv:2504.06141).

The search is best of n; the attack is in the policy's weights. ``step`` says how long it was trained, so that findings
of different checkpoints are different attacks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from attacks.best_of_n import BestOfN


@dataclass(frozen=True, kw_only=True)
class TrainedPolicy(BestOfN):
    """Best of ``n`` of the checkpoint at ``step``."""

    name: ClassVar[str] = "rl"
    family: ClassVar[str] = "rl"

    n: int = 64
    step: int = 0

    def __post_init__(self) -> None:
        if self.step < 0:
            raise ValueError(f"step must be 0 or more; got {self.step}")
