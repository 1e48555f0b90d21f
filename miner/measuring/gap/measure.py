"""Measures what an RM's choice among one policy's samples is worth in gold, and how that changed since another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from miner.measuring.best_of_n import concordance, curve_sizes, pick_curve, turn_of
from miner.measuring.diversity.response_sets import MIN_SETS
from miner.measuring.gap.pools import ScoredSamples, nothing_to_choose
from miner.measuring.gap.report import ChoiceValue, CurvePoint, Selection
from miner.statistics import Difference, Mean, mean, paired_difference, percentile_interval, resampled_means

Floats = npt.NDArray[np.float64]


def measure_selection(
    pools: Sequence[ScoredSamples],
    *,
    label: str,
    fingerprint: str | None = None,
    sqrt_kl: float | None = None,
    first: Sequence[ScoredSamples] | None = None,
    seed: int,
) -> Selection:
    """The gap on every prompt's pool, the intervals clustered by the prompts' groups.

    ``first``: pools, as large, of the policy that this one is compared with, on the prompts that both have.
    """
    groups = [pool.group for pool in pools]
    sizes = curve_sizes(len(pools[0].gold))
    picked, best = _picked(pools, sizes), _best(pools, sizes)
    curve = _curve(sizes, picked, best, groups, seed)
    known = [(pool, own) for pool, own in zip(pools, picked[:, -1], strict=True) if pool.reference_gold is not None]
    return Selection(
        label=label,
        fingerprint=fingerprint,
        sqrt_kl=sqrt_kl,
        pool=sizes[-1],
        prompts=len(pools),
        distinct=mean([float(pool.distinct) for pool in pools], groups=groups, seed=seed),
        curve=curve,
        choice=None if nothing_to_choose(pools) else _choice(pools, picked, best, curve, first, seed),
        to_reference=_difference([(p.reference_gold or 0.0, own, p.group) for p, own in known], seed),
        prefers_reference=_mean(
            [
                (None if p.reference_reward is None else float((p.rewards < p.reference_reward).mean()), p.group)
                for p in pools
            ],
            seed,
        ),
    )


def _choice(
    pools: Sequence[ScoredSamples],
    picked: Floats,
    best: Floats,
    curve: Sequence[CurvePoint],
    first: Sequence[ScoredSamples] | None,
    seed: int,
) -> ChoiceValue:
    groups, sizes, gain = [pool.group for pool in pools], [point.n for point in curve], curve[-1].gain
    best_gain = paired_difference(best[:, -1], best[:, 0], groups, seed)
    gain_change = concordance_change = None
    if first is not None and not nothing_to_choose(first):
        of_first = {pool.key: pool for pool in first}
        shared = [at for at, pool in enumerate(pools) if pool.key in of_first]
        theirs, groups_shared = [of_first[pools[at].key] for at in shared], [groups[at] for at in shared]
        gained = _gains(picked[shared]), _gains(_picked(theirs, sizes))
        gain_change = _difference(list(zip(*gained, groups_shared, strict=True)), seed)
        ranked = zip(_concordances([pools[at] for at in shared]), _concordances(theirs), groups_shared, strict=True)
        both = [(own, old, group) for own, old, group in ranked if own is not None and old is not None]
        concordance_change = _difference(both, seed)
    return ChoiceValue(
        gain=gain,
        gain_change=gain_change,
        negative_from=_negative_from(curve),
        best_gain=best_gain,
        used=gain.value / best_gain.value if best_gain.value > 0 else None,
        turn=turn_of(picked.mean(0), resampled_means(picked, groups=groups, seed=seed), sizes),
        concordance=_mean(list(zip(_concordances(pools), groups, strict=True)), seed),
        concordance_change=concordance_change,
    )


def _picked(pools: Sequence[ScoredSamples], sizes: Sequence[int]) -> Floats:
    """Expected gold of the RM's pick: (n_prompts, n_sizes)."""
    return np.array([pick_curve(pool.rewards, pool.gold, sizes) for pool in pools]).reshape(len(pools), len(sizes))


def _gains(picked: Floats) -> list[float]:
    """Of each prompt the pick out of the whole pool minus one sample."""
    gains: list[float] = (picked[:, -1] - picked[:, 0]).tolist()
    return gains


def _best(pools: Sequence[ScoredSamples], sizes: Sequence[int]) -> Floats:
    return np.array([pick_curve(pool.gold, pool.gold, sizes) for pool in pools])


def _concordances(pools: Sequence[ScoredSamples]) -> list[float | None]:
    return [concordance(pool.rewards, pool.gold) for pool in pools]


def _curve(sizes: Sequence[int], picked: Floats, best: Floats, groups: Sequence[str], seed: int) -> list[CurvePoint]:
    columns = []
    for table in (picked, best):
        low, high = percentile_interval(resampled_means(table, groups=groups, seed=seed))
        columns.append(
            [Mean(float(v), len(table), float(a), float(b)) for v, a, b in zip(table.mean(0), low, high, strict=True)]
        )
    gains = [Difference(0.0, len(picked), 0.0, 0.0)]  # one sample is no choice
    gains += [paired_difference(picked[:, at], picked[:, 0], groups, seed) for at in range(1, len(sizes))]
    return [
        CurvePoint(n=n, picked=own, best=most, gain=gain)
        for n, own, most, gain in zip(sizes, *columns, gains, strict=True)
    ]


def _negative_from(curve: Sequence[CurvePoint]) -> int | None:
    """The least n from which on, up to the whole pool, every gain's interval lies below zero."""
    found = None
    for point in reversed(curve):
        if point.gain.high >= 0:
            break
        found = point.n
    return found


def _mean(values: Sequence[tuple[float | None, str]], seed: int) -> Mean | None:
    known = [(value, group) for value, group in values if value is not None]
    if len({group for _, group in known}) < MIN_SETS:
        return None
    return mean([value for value, _ in known], groups=[group for _, group in known], seed=seed)


def _difference(rows: Sequence[tuple[float, float, str]], seed: int) -> Difference | None:
    if len({group for *_, group in rows}) < MIN_SETS:
        return None
    return paired_difference([a for a, _, _ in rows], [b for _, b, _ in rows], [group for *_, group in rows], seed)
