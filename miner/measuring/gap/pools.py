"""One policy's samples, scored: of every prompt the rewards and the gold of what was written for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from miner.judging.gold import Answer, Gold
from miner.measuring.diversity.response_sets import PromptResponses
from miner.progress import Advance
from miner.rewards.base import RewardModel

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredSamples:
    """One prompt's samples: their rewards and gold, and those of the reference where there is one."""

    key: str
    group: str
    rewards: Floats
    gold: Floats
    distinct: int
    reference_reward: float | None
    reference_gold: float | None


def score_pools(
    rm: RewardModel, gold: Gold, written: Sequence[PromptResponses], *, progress: Advance
) -> list[ScoredSamples]:
    """Every prompt's samples scored by the RM and by gold, each different text once.

    A prompt is left out where gold abstains on a sample of it, or the RM has no finite reward for one: a choice is
    measured among all of a prompt's samples, or not at all.

    Raises:
        TooLongError: the RM cannot read a sample.
    """
    pools = []
    for done, one in enumerate(written, start=1):
        pool = _pool(rm, gold, one)
        pools += [] if pool is None else [pool]
        progress(done, len(written))
    return pools


def nothing_to_choose(pools: Sequence[ScoredSamples]) -> bool:
    """Whether gold tells no two samples of any prompt apart: one text left of all, or a gold that is constant."""
    return all(np.ptp(pool.gold) == 0 for pool in pools)


def _pool(rm: RewardModel, gold: Gold, one: PromptResponses) -> ScoredSamples | None:
    different = sorted(set(one.responses))
    answers = [Answer(prompt=one.prompt, response=text, reference=one.reference) for text in different]
    if one.reference is not None:  # it is a good answer: no check is asked
        answers.append(Answer(prompt=one.prompt, response=one.reference, reference=one.reference, nonsense=False))
    scores = gold.scores(answers)
    worth = {text: score for text, score in zip(different, scores, strict=False) if score is not None}
    if len(worth) < len(different):
        return None
    rewards = [float(reward) for reward in rm.exact_rewards([answer.pair for answer in answers])]
    reward_of = dict(zip(different, rewards, strict=False))  # the reference is not among them
    if not np.isfinite(list(reward_of.values())).all():
        return None
    reference_reward, reference_gold = (None, None) if one.reference is None else (rewards[-1], scores[-1])
    return ScoredSamples(
        key=one.key,
        group=one.group,
        rewards=np.array([reward_of[text] for text in one.responses]),
        gold=np.array([worth[text] for text in one.responses]),
        distinct=len(different),
        reference_reward=reference_reward if reference_reward is not None and np.isfinite(reference_reward) else None,
        reference_gold=reference_gold,
    )
