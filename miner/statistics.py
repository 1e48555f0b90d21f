"""Rates, differences and break costs, each with its interval.

Attempts on the same prompt succeed and fail together, so that counting them as independent makes intervals too narrow:
given ``groups``, whole groups are resampled (percentile bootstrap; with fewer than about ten groups still too narrow).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

CONFIDENCE = 0.95
RESAMPLES = 2000
BLOCK_ENTRIES = 4_000_000
TOLERANCE = 1e-12

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class WithInterval:
    """A number made of ``n`` others, with its 95 % interval."""

    value: float
    n: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Rate(WithInterval):
    """A share of ``n`` outcomes."""


@dataclass(frozen=True, slots=True)
class Difference(WithInterval):
    """The mean of ``n`` paired differences."""


@dataclass(frozen=True, slots=True)
class Mean(WithInterval):
    """The mean of ``n`` values."""


@dataclass(frozen=True, slots=True)
class Ratio(WithInterval):
    """The mean of one side of ``n`` pairs over that of the other."""


@dataclass(frozen=True, slots=True)
class MedianCost:
    """A median of ``n`` break costs with its 95 % interval, in queries; None is over the ``budget``."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    budget: float


@dataclass(frozen=True, slots=True)
class SurvivalCurve:
    """Share of attempts without a find after so many queries, from (0, 1) to the budget; a step function.

    ``median`` is the first time at which half of the attempts have found something; None where the budget ends before.
    """

    times: tuple[float, ...]
    survival: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    median: float | None


def rate(
    outcomes: Sequence[bool] | npt.NDArray[np.bool_], *, groups: Sequence[Hashable] | None = None, seed: int = 0
) -> Rate:
    """The share of true outcomes: Wilson's interval, or with ``groups`` (one per outcome) a cluster bootstrap.

    Where every resample agrees, as when all outcomes do, the interval is Wilson's with the groups as the sample.

    Raises:
        ValueError: no outcomes, outcomes that are not 0 or 1, or not one group per outcome.
    """
    values = np.asarray(outcomes, dtype=np.float64)
    _require_values(values, groups)
    if not np.isin(values, (0, 1)).all():
        raise ValueError("a rate is of outcomes that are true or false (0 or 1); for other values take a mean")
    low, high = _rate_intervals(values[:, None], groups, seed)
    return Rate(float(values.mean()), len(values), float(low[0]), float(high[0]))


def paired_difference(
    a: Sequence[float] | Floats, b: Sequence[float] | Floats, groups: Sequence[Hashable] | None, seed: int = 0
) -> Difference:
    """The mean of a − b over pairs, with a cluster bootstrap interval; without ``groups`` each pair is its own.

    Where every resample agrees, values within [0, 1] get the interval that Wilson's leaves for the unseen groups to
    differ; others one of width zero.

    Raises:
        ValueError: no pairs, unequal lengths, values that are not finite, or one group of values outside [0, 1].
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"paired values must be as many on both sides; got {first.size} and {second.size}")
    change = first - second
    _require_values(change, groups)
    value, (sums, counts) = float(change.mean()), _by_group(change[:, None], groups)
    bounded = bool(((first >= 0) & (first <= 1) & (second >= 0) & (second <= 1)).all())
    if len(counts) == 1 and not bounded:
        raise ValueError("one group says nothing about how others differ; an interval needs at least two")
    low, high = (float(end[0]) for end in _mean_interval(sums, counts, seed))
    if high - low < TOLERANCE and bounded:
        unseen = _wilson(0, len(counts))[1]
        low, high = value - unseen * (1 + value), value + unseen * (1 - value)
    return Difference(value, len(change), low, high)


def paired_ratio(
    a: Sequence[float] | Floats, b: Sequence[float] | Floats, groups: Sequence[Hashable] | None, seed: int = 0
) -> Ratio:
    """The mean of a over the mean of b, pairs resampled by group; of costs that end at a budget it is a bound: what was
    cut off is counted as no more than the budget.

    Raises:
        ValueError: no pairs, unequal lengths, values that are not finite or not above 0, or one group alone.
    """
    values = np.column_stack([np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)])
    if len(values) and values.min() <= 0:
        raise ValueError("a ratio of means needs values above 0")
    resampled = resampled_means(values, groups=groups, seed=seed)
    low, high = percentile_interval(resampled[:, 0] / resampled[:, 1])
    first, second = values.mean(0)
    return Ratio(float(first / second), len(values), float(low), float(high))


def simultaneous_differences(
    first: Floats, second: Floats, groups: Sequence[Hashable] | None, seed: int = 0
) -> list[Difference]:
    """Per column the mean of first − second over its rows, with intervals that hold all at once in 95 % of samples.

    Both have shape (n, n_columns), values within [0, 1]; every group's rows are resampled for all columns together, and
    the largest of the studentised deviations decides how wide all are (Westfall & Young 1993). With one column this is
    a bootstrap-t interval; a column that every resample agrees on gets what Wilson's interval at the level shared out
    among the columns (Bonferroni) leaves for the unseen groups.

    Raises:
        ValueError: no rows, unequal shapes, values outside [0, 1], or not one group per row.
    """
    if first.shape != second.shape or first.ndim != 2:
        raise ValueError(f"expected two tables of one shape, (rows, columns); got {first.shape} and {second.shape}")
    for column in (*first.T, *second.T):
        _require_values(column, groups)
        if column.min() < 0 or column.max() > 1:
            raise ValueError(f"values must lie within [0, 1]; got {column.min():g} to {column.max():g}")
    change = first - second
    sums, counts = _by_group(change, groups)
    value, resampled = change.mean(0), _resampled_means(sums, counts, seed)
    error = resampled.std(0)
    moves = error > TOLERANCE
    unseen = _wilson(0, len(counts), 1 - (1 - CONFIDENCE) / change.shape[1])[1]
    low, high = value - unseen * (1 + value), value + unseen * (1 - value)
    if moves.any():
        farthest = np.abs((resampled[:, moves] - value[moves]) / error[moves]).max(1)
        reach = float(np.quantile(farthest, CONFIDENCE)) * error[moves]
        low[moves], high[moves] = np.maximum(value[moves] - reach, -1), np.minimum(value[moves] + reach, 1)
    return [Difference(float(v), len(change), float(a), float(b)) for v, a, b in zip(value, low, high, strict=True)]


def mean(values: Sequence[float] | Floats, *, groups: Sequence[Hashable] | None = None, seed: int = 0) -> Mean:
    """The mean of ``values`` with a cluster bootstrap interval; without ``groups`` each value is its own.

    Where every value is the same the interval has width zero: nothing in the sample says how others would differ.

    Raises:
        ValueError: no values, values that are not finite, or a single group.
    """
    array = np.asarray(values, dtype=np.float64)
    _require_values(array, groups)
    sums, counts = _by_group(array[:, None], groups)
    if len(counts) == 1:
        raise ValueError("one group says nothing about how others differ; an interval needs at least two")
    low, high = (float(end[0]) for end in _mean_interval(sums, counts, seed))
    return Mean(float(array.mean()), len(array), low, high)


def cluster_bootstrap(
    statistic: Callable[[Floats], float | Sequence[float] | Floats | None],
    n_groups: int,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[Floats, Floats]:
    """Ends of the 95 % percentile interval of ``statistic`` over resampled groups, each of its own shape.

    ``statistic`` is given how often each group was drawn, (n_groups,), as weights; resamples of which it gives None are
    left out, and with none left the ends are NaN.
    """
    values = [value for drawn in times_drawn(n_groups, seed=seed, resamples=resamples)
              if (value := statistic(drawn)) is not None]  # fmt: skip
    return percentile_interval(np.array(values, dtype=np.float64)) if values else (np.array(np.nan), np.array(np.nan))


def times_drawn(n_groups: int, *, seed: int = 0, resamples: int = RESAMPLES) -> Floats:
    """How often each group is drawn in every resample: (resamples, n_groups)."""
    return np.concatenate(list(_times_drawn(n_groups, np.random.default_rng(seed), resamples)))


def percentile_interval(values: Floats) -> tuple[Floats, Floats]:
    """Ends of the 95 % interval of resampled values along the first axis."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, (tail, 1 - tail), axis=0)
    return low, high


def resampled_means(values: Floats, *, groups: Sequence[Hashable] | None = None, seed: int = 0) -> Floats:
    """The mean of each column over resampled groups, shape (resamples, n_columns): for what is read off many means.

    ``values`` has shape (n, n_columns). Errors as ``mean``.
    """
    for column in values.T:
        _require_values(column, groups)
    sums, counts = _by_group(values, groups)
    if len(counts) < 2:
        raise ValueError("one group says nothing about how others differ; an interval needs at least two")
    return _resampled_means(sums, counts, seed)


def student_interval(values: Floats) -> tuple[Floats, Floats]:
    """Student's interval of each column's mean over the rows that are not NaN: for a few runs, of which a bootstrap
    would span little more than the runs themselves.

    ``values`` has shape (n, n_columns); each end (n_columns,), NaN where fewer than two rows are known.
    """
    n = np.isfinite(values).sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nansum(values, 0) / n
        deviation = np.sqrt(np.nansum((values - mean) ** 2, 0) / (n - 1))
        half = stats.t.ppf((1 + CONFIDENCE) / 2, np.maximum(n - 1, 1)) * deviation / np.sqrt(n)
    return mean - half, mean + half


def median_cost(costs: Sequence[float], budget: float) -> MedianCost:
    """The median of ``costs``, those without a find given as infinite; the interval is that of order statistics.

    With five or fewer costs no two of them enclose 95 %: the interval is then from 0 to over the budget.

    Raises:
        ValueError: no costs.
    """
    if not len(costs):
        raise ValueError("a median needs at least one cost")
    ordered, n = sorted(costs), len(costs)
    rank = int(stats.binom.ppf((1 - CONFIDENCE) / 2, n, 0.5))
    interval = (ordered[rank - 1], ordered[n - rank]) if rank > 0 else (0.0, math.inf)
    value, low, high = (None if end > budget else float(end) for end in (ordered[(n - 1) // 2], *interval))
    return MedianCost(value, low, high, n, budget)


def survival(
    queries_to_find: Sequence[int | None],
    budget: int,
    *,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> SurvivalCurve:
    """The Kaplan–Meier curve of queries until the first find; None is an attempt without, censored at the full budget.

    Nothing is censored before the budget, so that at each time the curve is a plain rate and gets that interval.

    Raises:
        ValueError: no attempts, a find outside 1…budget, or not one group per attempt.
    """
    found = np.array([np.inf if queries is None else queries for queries in queries_to_find], dtype=np.float64)
    censored = np.isinf(found)
    _require_values(np.where(censored, 0, found), groups)
    if outside := [int(q) for q in found[~censored] if not 1 <= q <= budget]:
        raise ValueError(f"queries to find must lie in 1…{budget}, the budget; got {outside[0]}")
    observed = stats.CensoredData(uncensored=found[~censored], right=np.full(censored.sum(), budget))
    curve = stats.ecdf(observed).sf
    times = np.unique(np.concatenate(([0], curve.quantiles, [budget])))
    shares = np.asarray(curve.evaluate(times), dtype=np.float64)
    low, high = _rate_intervals((found[:, None] > times).astype(np.float64), groups, seed)
    half = np.flatnonzero(shares <= 0.5 + TOLERANCE)
    return SurvivalCurve(
        times=tuple(times.tolist()),
        survival=tuple(shares.tolist()),
        low=tuple(
            np.minimum.accumulate(low).tolist()
        ),  # the two kinds of interval may cross by a little where they meet
        high=tuple(np.maximum.accumulate(high[::-1])[::-1].tolist()),
        median=float(times[half[0]]) if half.size else None,
    )


def _rate_intervals(outcomes: Floats, groups: Sequence[Hashable] | None, seed: int) -> tuple[Floats, Floats]:
    """Interval ends of each column's mean; outcomes of shape (n, n_rates)."""
    if groups is None:
        ends = np.array([_wilson(int(successes), len(outcomes)) for successes in outcomes.sum(axis=0)])
        return ends[:, 0], ends[:, 1]
    sums, counts = _by_group(outcomes, groups)
    low, high = _mean_interval(sums, counts, seed)
    means = outcomes.mean(axis=0)
    for column in np.flatnonzero(high - low < TOLERANCE):
        low[column], high[column] = _wilson(round(float(means[column]) * len(counts)), len(counts))
    return low, high


def _wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    interval = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def _by_group(values: Floats, groups: Sequence[Hashable] | None) -> tuple[Floats, Floats]:
    """Per group the sums of values, shape (n_groups, n_columns), and their number, shape (n_groups,)."""
    if groups is None:
        return values, np.ones(len(values))
    numbers: dict[Hashable, int] = {}
    index = np.array([numbers.setdefault(group, len(numbers)) for group in groups])
    sums = np.zeros((len(numbers), values.shape[1]))
    np.add.at(sums, index, values)
    return sums, np.bincount(index).astype(np.float64)


def _mean_interval(sums: Floats, counts: Floats, seed: int) -> tuple[Floats, Floats]:
    """Percentile interval ends of each column's mean over resampled groups, all columns on the same resamples."""
    return percentile_interval(_resampled_means(sums, counts, seed))


def _resampled_means(sums: Floats, counts: Floats, seed: int) -> Floats:
    """Each column's mean over resampled groups, shape (RESAMPLES, n_columns)."""
    order = np.lexsort((*sums.T, counts))  # so that the order of the groups does not matter
    sums, counts = sums[order], counts[order]
    blocks = _times_drawn(len(counts), np.random.default_rng(seed), RESAMPLES)
    return np.concatenate([(drawn @ sums) / (drawn @ counts)[:, None] for drawn in blocks])


def _times_drawn(n_groups: int, rng: np.random.Generator, resamples: int) -> Iterator[Floats]:
    """In blocks that fit the memory: (rows, n_groups)."""
    block = max(1, BLOCK_ENTRIES // n_groups)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(n_groups, size=(rows, n_groups)) + n_groups * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n_groups).reshape(rows, n_groups).astype(np.float64)


def _require_values(values: Floats, groups: Sequence[Hashable] | None) -> None:
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"an interval needs at least one value in one dimension; got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("values must be finite; got NaN or infinity")
    if groups is not None and len(groups) != len(values):
        raise ValueError(f"every value needs its group; got {len(values)} values and {len(groups)} groups")


def log_choose(n: Floats | float, k: Floats | float) -> Floats:
    """The logarithm of the binomial coefficient, elementwise."""
    return np.asarray(special.gammaln(n + 1) - special.gammaln(n - k + 1) - special.gammaln(k + 1), dtype=np.float64)
