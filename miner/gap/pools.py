"""One policy's samples, scored: of every prompt the rewards and the gold of what was written for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from miner.diversity.writings import Written
from miner.gold import Gold
from miner.progress import Advance
from miner.rewards.base import Pair, RewardModel

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One prompt's samples: their rewards and gold, and those of the reference where there is one."""

    key: str
    group: str
    rewards: Floats
    gold: Floats
    distinct: int
    reference_reward: float | None
    reference_gold: float | None


def score_pools(rm: RewardModel, gold: Gold, written: Sequence[Written], *, progress: Advance) -> list[Pool]:
    """Every prompt's samples scored by the RM, each different text once, and by gold.

    Raises:
        TooLongError: the RM cannot read a sample.
    """
    pools = []
    for done, one in enumerate(written, start=1):
        pools.append(_pool(rm, gold, one))
        progress(done, len(written))
    return pools


def nothing_to_choose(pools: Sequence[Pool]) -> bool:
    """Whether gold tells no two samples of any prompt apart: one text left of all, or a gold that is constant."""
    return all(np.ptp(pool.gold) == 0 for pool in pools)


def _pool(rm: RewardModel, gold: Gold, one: Written) -> Pool:
    different = sorted(set(one.responses))
    texts = [*different, *([one.reference] if one.reference is not None else [])]
    rewards = rm.exact_rewards([Pair(one.prompt, text) for text in texts])
    reward_of = dict(zip(texts, rewards.tolist(), strict=True))
    values = gold.values(one.prompt, one.reference, [*one.responses, *texts[len(different) :]])
    return Pool(
        key=one.key,
        group=one.group,
        rewards=np.array([reward_of[text] for text in one.responses]),
        gold=values[: len(one.responses)],
        distinct=len(different),
        reference_reward=None if one.reference is None else reward_of[one.reference],
        reference_gold=None if one.reference is None else float(values[-1]),
    )
