"""Numbers with a bootstrap interval over prompts: findings on one prompt are no independent evidence."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from miner.measuring.triage.result import Auroc
from miner.statistics import WithInterval, cluster_bootstrap

Floats = npt.NDArray[np.float64]


def median_interval(values: Sequence[float], groups: Sequence[str], seed: int = 0) -> WithInterval:
    """The median with a bootstrap interval over groups."""
    ordered = np.argsort(values, kind="stable")
    sorted_values = np.array(values)[ordered]
    names, group = np.unique(np.array(groups)[ordered], return_inverse=True)

    def median(drawn: Floats) -> float:
        reached = np.cumsum(drawn[group])
        return float(sorted_values[np.searchsorted(reached, reached[-1] / 2)])

    low, high = cluster_bootstrap(median, len(names), seed=seed)
    return WithInterval(float(np.median(sorted_values)), len(values), float(low), float(high))


def auroc(
    positive: Floats, negative: Floats, positive_groups: Sequence[Hashable], negative_groups: Sequence[Hashable]
) -> Auroc:
    """The chance that a positive lies above a negative, ties half, with a bootstrap over groups (prompts).

    A prompt's positives and negatives are drawn together. Resamples without one of the two are left out.

    Raises:
        ValueError: no positive or no negative.
    """
    if not len(positive) or not len(negative):
        raise ValueError(f"a comparison needs both; got {len(positive)} positive and {len(negative)} negative")
    ranks = np.unique(np.concatenate([positive, negative]), return_inverse=True)[1]
    numbers: dict[Hashable, int] = {}
    group = np.array([numbers.setdefault(one, len(numbers)) for one in [*positive_groups, *negative_groups]])
    is_positive = np.arange(len(ranks)) < len(positive)

    def resampled(drawn: Floats) -> float | None:
        weight = drawn[group]
        return _above(ranks, is_positive, weight) if weight[is_positive].any() and weight[~is_positive].any() else None

    low, high = cluster_bootstrap(resampled, len(numbers))
    value = _above(ranks, is_positive, np.ones(len(ranks)))
    if np.isnan(low):
        return Auroc(value, len(positive), len(negative), 0.0, 1.0)
    return Auroc(value, len(positive), len(negative), float(low), float(high))


def _above(ranks: npt.NDArray[np.int64], is_positive: npt.NDArray[np.bool_], weight: Floats) -> float:
    n_ranks = int(ranks.max()) + 1
    of_negative = np.bincount(ranks, np.where(is_positive, 0.0, weight), n_ranks)
    of_positive = np.bincount(ranks, np.where(is_positive, weight, 0.0), n_ranks)
    below = np.cumsum(of_negative) - of_negative / 2
    return float(of_positive @ below / (of_positive.sum() * of_negative.sum()))
