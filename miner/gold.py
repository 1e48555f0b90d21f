"""Gold: the score that is really meant, as far as it can be had. Near-gold is overlap with a good answer; another RM's
reward is gold only as far as that RM is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from corpus.records import Conversation
from miner.errors import ConfigError
from miner.overlap import rouge_l
from miner.rewards.base import Pair, RewardModel

Floats = npt.NDArray[np.float64]


class Gold(Protocol):
    """Scores responses to one prompt; ``needs_reference`` where it can score none without."""

    @property
    def name(self) -> str: ...

    @property
    def needs_reference(self) -> bool: ...

    def values(self, prompt: Conversation, reference: str | None, responses: Sequence[str]) -> Floats:
        """Shape (n_responses,)."""


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Near-gold: ROUGE-L (F1 of the longest common subsequence of words) with the reference. Order counts: the
    reference's own words shuffled score low. 1 is the reference itself; another good answer scores too low."""

    name: str = "overlap with the reference (ROUGE-L)"
    needs_reference: bool = True

    def values(self, prompt: Conversation, reference: str | None, responses: Sequence[str]) -> Floats:
        del prompt
        if reference is None:
            raise ConfigError("overlap gold needs a reference for every prompt. Give --gold-rm FOLDER instead")
        known = {response: rouge_l(response, reference) for response in set(responses)}
        return np.array([known[response] for response in responses], dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class GoldReward:
    """The exact reward of an RM that nothing was optimised against."""

    rm: RewardModel
    needs_reference: bool = False

    @property
    def name(self) -> str:
        return f"reward of {self.rm.name}"

    def values(self, prompt: Conversation, reference: str | None, responses: Sequence[str]) -> Floats:
        del reference
        different = sorted(set(responses))
        rewards = self.rm.exact_rewards([Pair(prompt, response) for response in different])
        known = dict(zip(different, rewards.tolist(), strict=True))
        return np.array([known[response] for response in responses], dtype=np.float64)
