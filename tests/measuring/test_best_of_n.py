"""The pick out of n against brute force over every subset, and where a curve turns."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.measuring.best_of_n import concordance, curve_sizes, pick_curve, pick_weights, turn_of
from miner.statistics import resampled_means

VALUES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), min_size=2, max_size=7)


@given(VALUES)
def test_the_curve_is_the_mean_over_every_subset(pairs: list[tuple[int, int]]) -> None:
    rewards, gold = (np.array(column, dtype=np.float64) for column in zip(*pairs, strict=True))
    sizes = range(1, len(pairs) + 1)
    expected = [
        np.mean([mean_of_best(rewards[list(s)], gold[list(s)]) for s in itertools.combinations(range(len(pairs)), n)])
        for n in sizes
    ]
    np.testing.assert_allclose(pick_curve(rewards, gold, sizes), expected, atol=1e-9)


def mean_of_best(rewards: np.ndarray, gold: np.ndarray) -> float:
    """The RM breaks ties by chance among texts; over all subsets that is the mean of its favourites' gold."""
    return float(gold[rewards == rewards.max()].mean())


@pytest.mark.parametrize("pool", [1, 2, 7, 64, 2000])
def test_each_choice_is_some_sample(pool: int) -> None:
    weights = pick_weights(pool, curve_sizes(pool))
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-9)
    np.testing.assert_allclose(weights[0], 1 / pool)
    assert weights[-1, -1] == pytest.approx(1)


def test_an_rm_that_is_gold_never_hurts_and_its_opposite_always_does() -> None:
    gold = np.random.default_rng(0).normal(size=32)
    assert (np.diff(pick_curve(gold, gold, curve_sizes(32))) > 0).all()
    assert (np.diff(pick_curve(-gold, gold, curve_sizes(32))) < 0).all()
    assert (concordance(gold, gold), concordance(-gold, gold)) == (1, 0)


@given(VALUES)
def test_concordance_counts_pairs(pairs: list[tuple[int, int]]) -> None:
    rewards, gold = (np.array(column, dtype=np.float64) for column in zip(*pairs, strict=True))
    right = [
        0.5 if r == s else float((r > s) == (g > h))
        for (r, g), (s, h) in itertools.combinations(pairs, 2)
        if g != h
    ]  # fmt: skip
    assert concordance(rewards, gold) == (pytest.approx(np.mean(right)) if right else None)


def hump(
    peak: float, *, noise: float, prompts: int = 60, pool: int = 64, seed: int = 1
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Curves that rise to ``peak`` samples and fall from there, with noise between prompts."""
    sizes = curve_sizes(pool)
    shape = -((np.log2(sizes) - np.log2(peak)) ** 2)
    rng = np.random.default_rng(seed)
    slopes = rng.normal(size=(prompts, 1)) * noise * np.log2(sizes)
    return shape + slopes, sizes


def test_a_planted_turn_is_found_within_its_interval() -> None:
    covered = 0
    for seed in range(40):
        curves, sizes = hump(8, noise=6.0, seed=seed)
        turn = turn_of(curves.mean(0), resampled_means(curves, seed=seed), sizes)
        assert turn.low is not None
        assert turn.high is None or turn.low < turn.high
        covered += turn.low <= 8 <= (turn.high or sizes[-1])
    assert covered >= 34
    curves, sizes = hump(8, noise=0.5)
    turn = turn_of(curves.mean(0), resampled_means(curves), sizes)
    assert (turn.n, turn.share, turn.sure) == (8, 1, True)


def test_a_curve_that_only_rises_does_not_turn() -> None:
    curves, sizes = hump(500, noise=0.1)
    turn = turn_of(curves.mean(0), resampled_means(curves), sizes)
    assert (turn.n, turn.high, turn.share, turn.sure) == (None, None, 0, False)


def test_a_turn_that_noise_could_have_made_is_not_claimed() -> None:
    curves, sizes = hump(60, noise=3.0)
    turn = turn_of(curves.mean(0), resampled_means(curves), sizes)
    assert 0 < turn.share < 1
    assert not turn.sure


def test_the_interval_of_the_curve_covers_the_truth() -> None:
    """95 % intervals of the expected pick hold the mean over many prompts in about 95 % of repeats."""
    rng = np.random.default_rng(0)
    truth, covered = pick_mean(rng, 4000), 0
    for repeat in range(100):
        curves = np.array([pick_of(rng) for _ in range(40)])
        low, high = np.quantile(resampled_means(curves[:, None], seed=repeat)[:, 0], (0.025, 0.975))
        covered += low <= truth <= high
    assert covered >= 86


def pick_of(rng: np.random.Generator) -> float:
    gold = rng.normal(size=8) + rng.normal()
    return float(pick_curve(gold + rng.normal(size=8), gold, (4,))[0])


def pick_mean(rng: np.random.Generator, n: int) -> float:
    return float(np.mean([pick_of(rng) for _ in range(n)]))
