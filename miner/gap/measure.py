"""Measures what an RM's choice among a policy's samples is worth in gold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from miner.diversity.writings import LEAST_SETS, Written
from miner.errors import ConfigError
from miner.gap.report import CurvePoint, Selection
from miner.gap.selection import concordance, curve_sizes, pick_curve, turn_of
from miner.gold import Gold
from miner.progress import Advance
from miner.rewards.base import Pair, RewardModel
from miner.statistics import CONFIDENCE, Difference, Mean, mean, paired_difference, resampled_means

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pool:
    """One prompt's samples: their rewards and gold, and those of the reference where there is one."""

    group: str
    rewards: Floats
    gold: Floats
    reference_reward: float | None
    reference_gold: float | None


def measure_selection(
    rm: RewardModel, gold: Gold, written: Sequence[Written], *, seed: int, progress: Advance
) -> Selection:
    """The gap on every prompt's samples, the intervals clustered by the prompts' groups.

    Raises:
        ConfigError: too few samples or groups of prompts, or a gold that tells no two samples of a prompt apart.
        TooLongError: the RM cannot read a sample.
    """
    _require_enough(written)
    pools = []
    for done, one in enumerate(written, start=1):
        pools.append(_pool(rm, gold, one))
        progress(done, len(written))
    if all(np.ptp(pool.gold) == 0 for pool in pools):
        raise ConfigError(
            f"gold ({gold.name}) is constant: all {len(pools[0].gold)} samples of every prompt have the same, so that "
            "no choice among them can gain anything. Give another gold: --gold-rm FOLDER, or data with references"
        )
    groups = [pool.group for pool in pools]
    size = len(pools[0].gold)
    sizes = curve_sizes(size)
    picked = np.array([pick_curve(pool.rewards, pool.gold, sizes) for pool in pools])  # (n_prompts, n_sizes)
    best = np.array([pick_curve(pool.gold, pool.gold, sizes) for pool in pools])
    resampled = resampled_means(picked, groups=groups, seed=seed)
    gain = paired_difference(picked[:, -1], picked[:, 0], groups, seed)
    best_gain = paired_difference(best[:, -1], best[:, 0], groups, seed)
    known = [(pool, curve[-1]) for pool, curve in zip(pools, picked, strict=True) if pool.reference_gold is not None]
    return Selection(
        pool=size,
        prompts=len(pools),
        curve=_curve(sizes, picked, best, groups, seed),
        turn=turn_of(picked.mean(0), resampled, sizes),
        gain=gain,
        best_gain=best_gain,
        used=gain.value / best_gain.value if best_gain.value > 0 else None,
        to_reference=_difference([(p.reference_gold or 0.0, own, p.group) for p, own in known], seed),
        concordance=_mean([(concordance(p.rewards, p.gold), p.group) for p in pools], seed),
        prefers_reference=_mean(
            [
                (None if p.reference_reward is None else float((p.rewards < p.reference_reward).mean()), p.group)
                for p in pools
            ],
            seed,
        ),
    )


def _require_enough(written: Sequence[Written]) -> None:
    sizes = {len(one.responses) for one in written}
    if len({one.group for one in written}) < LEAST_SETS:
        raise ConfigError(
            f"{len(written)} prompts of {len({one.group for one in written})} groups are too few for an interval; "
            f"expected at least {LEAST_SETS} groups. Give more: --prompts"
        )
    if len(sizes) != 1 or min(sizes) < 2:
        raise ConfigError(f"a choice needs two samples or more of each prompt, as many of each; got {sorted(sizes)}. "
                          "Give more: --samples")  # fmt: skip


def _pool(rm: RewardModel, gold: Gold, one: Written) -> _Pool:
    different = sorted(set(one.responses))
    texts = [*different, *([one.reference] if one.reference is not None else [])]
    rewards = rm.exact_rewards([Pair(one.prompt, text) for text in texts])
    reward_of = dict(zip(texts, rewards.tolist(), strict=True))
    values = gold.values(one.prompt, one.reference, [*one.responses, *texts[len(different) :]])
    return _Pool(
        group=one.group,
        rewards=np.array([reward_of[text] for text in one.responses]),
        gold=values[: len(one.responses)],
        reference_reward=None if one.reference is None else reward_of[one.reference],
        reference_gold=None if one.reference is None else float(values[-1]),
    )


def _curve(sizes: Sequence[int], picked: Floats, best: Floats, groups: Sequence[str], seed: int) -> list[CurvePoint]:
    tail = (1 - CONFIDENCE) / 2
    columns = []
    for table in (picked, best):
        low, high = np.quantile(resampled_means(table, groups=groups, seed=seed), (tail, 1 - tail), axis=0)
        columns.append(
            [Mean(float(v), len(table), float(a), float(b)) for v, a, b in zip(table.mean(0), low, high, strict=True)]
        )
    return [CurvePoint(n=n, picked=own, best=most) for n, own, most in zip(sizes, *columns, strict=True)]


def _mean(values: Sequence[tuple[float | None, str]], seed: int) -> Mean | None:
    known = [(value, group) for value, group in values if value is not None]
    if len({group for _, group in known}) < LEAST_SETS:
        return None
    return mean([value for value, _ in known], groups=[group for _, group in known], seed=seed)


def _difference(rows: Sequence[tuple[float, float, str]], seed: int) -> Difference | None:
    if len({group for *_, group in rows}) < LEAST_SETS:
        return None
    return paired_difference([a for a, _, _ in rows], [b for _, b, _ in rows], [group for *_, group in rows], seed)
