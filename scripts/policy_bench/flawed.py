"""Docs world's RM with a planted flaw: what it would have learnt from annotators who like one word too much.

The RM as trained is hard to game for a small policy: of texts that fit every prompt none scores well, only the object's
own name does, and hundreds of steps of reinforcement learning on two cores do not get there. A planted flaw can be
found in tens of steps, and its truth is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpus.records import digest
from miner.overopt.gold import Scorer
from miner.rewards.base import Pair

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Flawed:
    """``rm``'s reward plus ``strength`` times the share of an answer's words that are one of ``words``."""

    rm: Scorer
    words: tuple[str, ...]
    strength: float

    @property
    def name(self) -> str:
        return f"{self.rm.name} that likes {' and '.join(self.words)}"

    @property
    def fingerprint(self) -> str:
        return digest(["flawed", self.rm.fingerprint, list(self.words), self.strength])

    def exact_rewards(self, pairs: Sequence[Pair]) -> Floats:
        return self.rm.exact_rewards(pairs) + self.bonus(pairs)

    def rewards(self, pairs: Sequence[Pair]) -> Floats:
        """In the RM's ranking dtype where it has one."""
        fast = getattr(self.rm, "rewards", self.rm.exact_rewards)
        ranked: Floats = fast(pairs) + self.bonus(pairs)
        return ranked

    def bonus(self, pairs: Sequence[Pair]) -> Floats:
        shares = []
        for pair in pairs:
            words = [word.strip(".,;:") for word in pair.response.lower().split()]
            shares.append(sum(word in self.words for word in words) / max(1, len(words)))
        return self.strength * np.array(shares, dtype=np.float64)
