"""When a reward counts as a win against one RM: its own clean references set the bar.

Of an RM that only compares, every reference has reward 0. Winning is then to beat the reference (a reward above 0)
*and* to reach the quantile of clean second answers against their references: the rejected ones, or, where the data has
none, other prompts' references. Their spread is the unit of the margin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from corpus.records import Prompt, conversation_id, digest
from miner.errors import ConfigError
from miner.progress import Advance, untold
from miner.rewards.base import Pair, RewardModel, Scorer
from miner.rewards.compute.parts import exact_in_parts
from miner.rewards.compute.refusals import Readable, advice, readable, why

MIN_CLEAN = 20
MIN_GIVEN = 0.95  # of the clean references: an RM that abstains on more sets no bar


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """The bar of one RM, from the rewards of ``n`` clean references, those without a reward left out.

    ``threshold`` is their ``quantile``; ``ranking_tolerance`` the largest difference seen among them between a
    ranking reward and the exact one. ``data_hash`` names the references. ``left_out`` more were too
    long for the RM, or refused.
    """

    quantile: float
    threshold: float
    clean_mean: float
    clean_std: float
    n: int
    ranking_tolerance: float
    data_hash: str
    left_out: int = 0

    def margin(self, reward: float) -> float:
        """Standard deviations above this RM's clean references.

        Comparable across RMs and rounds, which a raw reward is not (Bradley–Terry has no fixed zero).
        """
        return (reward - self.clean_mean) / self.clean_std

    def beats_quantile(self, reward: float) -> bool:
        return reward >= self.threshold

    def wins(self, reward: float, reference_reward: float | None) -> bool:
        """Above the reference on the same prompt, where there is one, and at or above the threshold."""
        return self.beats_quantile(reward) and (reference_reward is None or reward > reference_reward)


def clean_criteria(
    rm: RewardModel, prompts: Sequence[Prompt], *, quantile: float, progress: Advance = untold
) -> Criteria:
    """The criteria that the clean answers to ``prompts`` set for ``rm``. Errors as ``bar_setting_pairs`` and
    ``criteria_of``."""
    return criteria_of(rm, bar_setting_pairs(rm, prompts), quantile=quantile, progress=progress)


def bar_setting_pairs(rm: RewardModel, prompts: Sequence[Prompt]) -> Readable:
    """The ``clean_pairs`` of ``prompts`` that ``rm`` takes, which set its bar, and why it takes no others.

    Raises:
        ConfigError: they are too few.
    """
    clean = readable(rm, rm.clean_pairs(prompts))
    n, refusals = len(clean.pairs), clean.refusals
    if n < MIN_CLEAN:
        others = f" ({len(refusals)} more are left out: {why(refusals)})" if refusals else ""
        enough = "Give more data, or a larger calibration share: --set data.fractions=…"
        if n + len(refusals) >= MIN_CLEAN:
            enough = advice(refusals) or enough
        raise ConfigError(
            f"{n} clean references{others} are too few to set a bar; expected at least {MIN_CLEAN} in the calibration "
            f"split that {rm.name} can take whole. {enough}"
        )
    return clean


def criteria_of(rm: RewardModel, clean: Readable, *, quantile: float, progress: Advance = untold) -> Criteria:
    """The criteria that these clean answers set for ``rm``.

    Raises:
        ConfigError: an RM that gives them all the same reward, or many none.
    """
    pairs = clean.pairs
    exact, ranked = exact_in_parts(rm, pairs, progress), rm.rewards(pairs)
    given = np.isfinite(exact) & np.isfinite(ranked)  # a judge may give a text no number
    if given.mean() < MIN_GIVEN or given.sum() < MIN_CLEAN:
        raise ConfigError(
            f"{rm.name} gives {len(pairs) - given.sum()} of {len(pairs)} clean references no reward; "
            f"at least {MIN_GIVEN:.0%} have to have one. Try: rmminer doctor, or another judge or template"
        )
    exact, ranked = exact[given], ranked[given]
    std = float(exact.std())
    if not std > 0:
        raise ConfigError(f"{rm.name} gives all {len(exact)} clean references the reward {exact[0]:g}; is it trained?")
    return Criteria(
        quantile=quantile,
        threshold=float(np.quantile(exact, quantile)),
        clean_mean=float(exact.mean()),
        clean_std=std,
        n=len(exact),
        ranking_tolerance=float(np.abs(exact - ranked).max()),
        data_hash=data_hash_of(pairs),
        left_out=len(clean.refusals),
    )


def data_hash_of(pairs: Sequence[Pair]) -> str:
    """Identity of the texts that set a bar."""
    return digest([[conversation_id(pair.prompt), pair.response] for pair in pairs])


def criteria_for_scorer(rm: Scorer, prompts: Sequence[Prompt], quantile: float) -> Criteria:
    """Where the references of ``prompts`` lie for an RM that only scores.

    Raises:
        ConfigError: too few references, or all with one reward.
    """
    pairs = [Pair(prompt.conversation, prompt.reference) for prompt in prompts if prompt.reference is not None]
    if len(pairs) < MIN_CLEAN:
        raise ConfigError(
            f"{len(pairs)} good answers in the calibration split; expected at least {MIN_CLEAN} to tell where "
            f"{rm.name} puts clean text. Give more data, or a larger calibration share: --set data.fractions=…"
        )
    rewards = rm.exact_rewards(pairs)
    if not rewards.std() > 0:
        raise ConfigError(
            f"{rm.name} gives all {len(pairs)} clean references the reward {rewards[0]:g}; is it trained?"
        )
    return Criteria(
        quantile=quantile,
        threshold=float(np.quantile(rewards, quantile)),
        clean_mean=float(rewards.mean()),
        clean_std=float(rewards.std()),
        n=len(pairs),
        ranking_tolerance=0.0,
        data_hash=digest([[prompt.prompt_id, prompt.reference] for prompt in prompts]),
    )
