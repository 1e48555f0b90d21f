"""Intervals with known answers, and intervals that cover the truth about as often as they say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.statistics import (
    Difference,
    cluster_bootstrap,
    mean,
    paired_difference,
    rate,
    resampled_means,
    simultaneous_differences,
    survival,
    times_drawn,
)

WILSON_ALL_OF_20 = 0.838875  # k = n = 20: n / (n + 1.96²)


def clustered_outcomes(rng: np.random.Generator, n_groups: int, per_group: int) -> tuple[np.ndarray, list[int]]:
    """Outcomes with a rate of 0.4 whose groups each have their own rate."""
    own = rng.beta(0.8, 1.2, size=n_groups)
    outcomes = rng.random((n_groups, per_group)) < own[:, None]
    return outcomes.ravel(), [group for group in range(n_groups) for _ in range(per_group)]


def test_a_rate_without_groups_has_wilsons_interval() -> None:
    result = rate([True] * 8 + [False] * 2)
    assert (result.value, result.n) == (0.8, 10)
    assert (result.low, result.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)  # Newcombe 1998's formula by hand


@pytest.mark.parametrize("groups", [None, list(range(20)), ["a", "b"] * 10, ["one"] * 20])
@pytest.mark.parametrize("outcome", [True, False])
def test_a_unanimous_rate_is_not_certain(outcome: bool, groups: list[object] | None) -> None:
    result = rate([outcome] * 20, groups=groups)
    n_groups = 20 if groups is None else len(set(groups))
    assert result.low <= result.value <= result.high
    assert result.high - result.low == pytest.approx(1.96**2 / (n_groups + 1.96**2), abs=1e-4)


def test_copies_within_a_group_add_no_certainty() -> None:
    outcomes = [True, False, True, True, False, False, True, False, True, True]
    once = rate(outcomes, groups=range(10), seed=3)
    copied = rate(np.repeat(outcomes, 50), groups=np.repeat(range(10), 50).tolist(), seed=3)
    assert (copied.value, copied.low, copied.high) == (once.value, once.low, once.high)
    assert rate(np.repeat(outcomes, 50)).high - rate(np.repeat(outcomes, 50)).low < (once.high - once.low) / 4


def test_a_cluster_bootstrap_covers_the_truth_and_wilsons_interval_does_not() -> None:
    rng = np.random.default_rng(0)
    clustered = naive = 0
    for seed in range(300):
        outcomes, groups = clustered_outcomes(rng, n_groups=40, per_group=15)
        with_groups, without = rate(outcomes, groups=groups, seed=seed), rate(outcomes)
        clustered += with_groups.low <= 0.4 <= with_groups.high
        naive += without.low <= 0.4 <= without.high
    assert 0.90 <= clustered / 300 <= 0.98
    assert naive / 300 < 0.7


def test_a_paired_difference_covers_the_truth() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    groups = [group for group in range(40) for _ in range(5)]
    for seed in range(300):
        shared = rng.normal(size=200)
        effect = np.repeat(rng.normal(0.3, 1.0, size=40), 5)
        result = paired_difference(shared + effect + rng.normal(size=200), shared, groups, seed)
        covered += result.low <= 0.3 <= result.high
    assert 0.90 <= covered / 300 <= 0.98


def test_a_paired_difference_forgets_what_both_sides_share() -> None:
    level = np.arange(50.0) * 10
    change = np.tile([0.9, 1.1], 25)
    result = paired_difference(level + change, level, None, seed=0)
    assert result.value == pytest.approx(1.0)
    assert 0.9 < result.low < 1.0 < result.high < 1.1
    # the normal interval, ± 1.96 · 0.1 / √50
    assert result.high - result.low == pytest.approx(2 * 1.96 * 0.1 / np.sqrt(50), rel=0.1)


def test_a_difference_is_the_negative_of_its_reverse() -> None:
    rng = np.random.default_rng(2)
    a, b, groups = rng.random(60), rng.random(60), rng.integers(12, size=60).tolist()
    forth, back = paired_difference(a, b, groups, 0), paired_difference(b, a, groups, 0)
    assert forth.value == pytest.approx(-back.value)
    # the groups are drawn in the order of their sums, so that the reverse sees other resamples
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low), abs=0.02)


@pytest.mark.parametrize(("a", "b", "value"), [(0, 0, 0), (1, 0, 1), (1, 1, 0), (0, 1, -1)])
def test_pairs_that_all_agree_are_not_certain(a: int, b: int, value: int) -> None:
    result = paired_difference([a] * 20, [b] * 20, range(20), 0)
    unseen = 1 - WILSON_ALL_OF_20
    assert result.value == value
    assert result.low == pytest.approx(max(-1, value - unseen * (1 + value)), abs=1e-4)
    assert result.high == pytest.approx(min(1, value + unseen * (1 - value)), abs=1e-4)


def test_pairs_that_all_agree_on_an_open_scale_have_no_spread_to_show() -> None:
    assert paired_difference([5.0, 6.0], [4.0, 5.0], None) == Difference(1.0, 2, 1.0, 1.0)


def test_survival_steps_down_at_each_find_and_stays_where_the_budget_ended() -> None:
    curve = survival([3, 1, None, 7, None], budget=10)
    assert curve.times == (0, 1, 3, 7, 10)
    assert curve.survival == pytest.approx((1, 0.8, 0.6, 0.4, 0.4))
    assert curve.median == 7
    share = rate([True] * 4 + [False])
    assert (curve.low[1], curve.high[1]) == pytest.approx((share.low, share.high))


def test_all_found_at_once() -> None:
    curve = survival([4] * 20, budget=10)
    assert curve.times == (0, 4, 10)
    assert curve.survival == (1, 0, 0)
    assert curve.median == 4
    assert curve.low == pytest.approx((WILSON_ALL_OF_20, 0, 0), abs=1e-4)
    assert curve.high == pytest.approx((1, 1 - WILSON_ALL_OF_20, 1 - WILSON_ALL_OF_20), abs=1e-4)


def test_none_found_leaves_no_median_and_an_interval_below_one() -> None:
    curve = survival([None] * 20, budget=10)
    assert (curve.times, curve.survival, curve.median) == ((0, 10), (1, 1), None)
    assert curve.low == pytest.approx((WILSON_ALL_OF_20,) * 2, abs=1e-4)


def test_the_median_is_where_half_have_found_something() -> None:
    assert survival([1, 2, None, None], budget=10).median == 2
    assert survival([1, *[None] * 2], budget=10).median is None


@pytest.mark.parametrize("found", [[5] * 19 + [6], [5] + [None] * 19])
def test_interval_ends_only_fall_where_the_two_kinds_of_interval_meet(found: list[int | None]) -> None:
    curve = survival(found, 10, groups=range(20))
    for ends in (curve.low, curve.high):
        assert list(ends) == sorted(ends, reverse=True)


def test_a_find_at_the_last_query_is_a_find() -> None:
    assert survival([10, None], budget=10).survival == (1, 0.5)


@given(
    st.lists(st.tuples(st.none() | st.integers(1, 30), st.integers(0, 5)), min_size=1, max_size=25),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_survival_only_falls_within_its_interval_and_ignores_order(
    attempts: list[tuple[int | None, int]], grouped: bool
) -> None:
    found, keys = [one[0] for one in attempts], [one[1] for one in attempts]
    curve = survival(found, 30, groups=keys if grouped else None)
    assert curve.times[0] == 0
    assert curve.times[-1] == 30
    for time, share, low, high in zip(curve.times, curve.survival, curve.low, curve.high, strict=True):
        assert share == pytest.approx(np.mean([q is None or q > time for q in found]))
        assert 0 <= low <= share + 1e-9
        assert share - 1e-9 <= high <= 1
    for ends in (curve.survival, curve.low, curve.high):
        assert list(ends) == sorted(ends, reverse=True)
    assert curve == survival(found[::-1], 30, groups=keys[::-1] if grouped else None)


def test_the_seed_decides() -> None:
    outcomes, groups = clustered_outcomes(np.random.default_rng(5), 15, 4)
    assert rate(outcomes, groups=groups, seed=1) == rate(outcomes, groups=groups, seed=1)
    assert rate(outcomes, groups=groups, seed=1) != rate(outcomes, groups=groups, seed=2)


def test_the_order_of_pairs_does_not_matter() -> None:
    a, b = np.random.default_rng(6).random((2, 30))
    forth, back = (paired_difference(x, y, range(30), seed=1) for x, y in [(a, b), (a[::-1], b[::-1])])
    assert (forth.low, forth.high) == pytest.approx((back.low, back.high), rel=1e-12)


def test_many_groups_are_resampled_in_blocks_of_bounded_memory() -> None:
    outcomes = np.arange(5000) % 2 == 0
    result = rate(outcomes, groups=range(5000))
    assert result.high - result.low == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(5000), rel=0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rate([]), "at least one value"),
        (lambda: rate([True, False], groups=["a"]), "2 values and 1 groups"),
        (lambda: rate(np.array([0.5, 1.0])), "true or false"),
        (lambda: rate(np.array([float("nan")])), "finite"),
        (lambda: paired_difference([], [], None), "at least one value"),
        (lambda: paired_difference([1.0], [1.0, 2.0], None), "got 1 and 2"),
        (lambda: paired_difference([5.0, 1.0], [1.0, 2.0], ["a", "a"]), "at least two"),
        (lambda: survival([], 5), "at least one value"),
        (lambda: survival([6], 5), "got 6"),
        (lambda: survival([0], 5), "got 0"),
    ],
)
def test_what_has_no_interval_says_why(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_the_interval_of_a_mean_covers_it_and_clusters_widen_it() -> None:
    rng, covered = np.random.default_rng(0), 0
    for seed in range(100):
        groups = np.repeat(np.arange(30), 4)
        values = rng.normal(size=30)[groups] + 0.2 * rng.normal(size=120)
        found = mean(values, groups=groups.tolist(), seed=seed)
        covered += found.low <= 0 <= found.high
        alone = mean(values, seed=seed)
        assert alone.high - alone.low < found.high - found.low
    assert covered >= 86


def test_resampled_means_of_two_columns_are_on_the_same_resamples() -> None:
    values = np.random.default_rng(0).normal(size=(20, 1))
    table = resampled_means(np.hstack([values, values + 1]), seed=3)
    assert np.allclose(table[:, 1] - table[:, 0], 1)
    alone = mean(values[:, 0], seed=3)
    assert np.quantile(table[:, 0], (0.025, 0.975)).tolist() == pytest.approx([alone.low, alone.high], abs=1e-3)


@pytest.mark.parametrize(("values", "groups"), [([], None), ([1.0, float("nan")], None), ([1.0, 2.0], ["a", "a"])])
def test_a_mean_that_has_no_interval_is_refused(values: list[float], groups: list[str] | None) -> None:
    with pytest.raises(ValueError, match=r"at least|finite"):
        mean(values, groups=groups)


def test_a_bootstrap_of_weights_is_that_of_the_groups_drawn() -> None:
    values = np.random.default_rng(3).normal(size=40)
    low, high = cluster_bootstrap(lambda drawn: drawn @ values / drawn.sum(), len(values), seed=5)
    plain = [values[np.random.default_rng([9, at]).integers(40, size=40)].mean() for at in range(2000)]
    assert (low, high) == pytest.approx(np.quantile(plain, (0.025, 0.975)), abs=0.03)
    again = cluster_bootstrap(lambda drawn: [drawn @ values / 40, drawn.sum()], len(values), seed=5)
    np.testing.assert_allclose(np.stack(again), [[float(low), 40], [float(high), 40]])


def test_resamples_without_a_statistic_are_left_out() -> None:
    low, high = cluster_bootstrap(lambda drawn: 1.0 if drawn[0] else None, 3)
    assert (float(low), float(high)) == (1.0, 1.0)
    assert np.isnan(cluster_bootstrap(lambda _: None, 3)).all()


def test_every_resample_draws_as_many_groups_as_there_are() -> None:
    drawn = times_drawn(7, seed=1, resamples=50)
    assert drawn.shape == (50, 7)
    assert set(drawn.sum(1)) == {7.0}
    assert len({tuple(row) for row in drawn}) > 40


def test_intervals_of_many_differences_hold_all_at_once() -> None:
    """Five models of equal worth, ten pairs: 95 % of samples accuse none, where one interval a pair accuses some."""
    both = [(i, j) for i in range(5) for j in range(i)]
    at_once = one_by_one = 0
    repeats = 120
    for repeat in range(repeats):
        rng = np.random.default_rng(repeat)
        of_group = rng.uniform(0, 0.5, 24)
        values = of_group.repeat(2)[:, None] + rng.uniform(0, 0.5, (48, 5))
        groups = np.arange(24).repeat(2).tolist()
        first, second = (values[:, [pair[side] for pair in both]] for side in (0, 1))
        together = simultaneous_differences(first, second, groups)
        at_once += all(one.low <= 0 <= one.high for one in together)
        alone = [paired_difference(first[:, k], second[:, k], groups) for k in range(len(both))]
        one_by_one += all(one.low <= 0 <= one.high for one in alone)
    assert at_once >= 0.88 * repeats
    assert one_by_one < 0.85 * repeats


def test_differences_that_never_vary_get_the_interval_of_the_unseen() -> None:
    first, second = np.full((12, 3), 0.25), np.full((12, 3), 0.25)
    first[:, 2] = np.linspace(0, 1, 12)
    same, _, varies = simultaneous_differences(first, second, None)
    (alone,) = simultaneous_differences(first[:, :1], second[:, :1], None)
    assert same.low < alone.low < 0 < alone.high < same.high
    assert varies.low < varies.value < varies.high
    with pytest.raises(ValueError, match=r"within \[0, 1\]"):
        simultaneous_differences(first + 1, second, None)
    with pytest.raises(ValueError, match="one shape"):
        simultaneous_differences(first, second[:6], None)
