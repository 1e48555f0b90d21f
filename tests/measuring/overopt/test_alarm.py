"""The bend of the reward as it is seen while a run goes on, and the bench's thresholds, on known curves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from miner.measuring.overopt.alarm import THRESHOLD, bend_seen, first_alarm
from scripts.policy_bench.onsets import Case, compared, conformal

STEPS = np.arange(0, 200, 5, dtype=float)


def reward(seed: int, *, bend: float = math.inf) -> np.ndarray:
    noise = 0.1 * np.random.default_rng(seed).normal(size=len(STEPS))
    return 0.004 * STEPS + 0.05 * np.maximum(STEPS - bend, 0) + noise


@pytest.mark.parametrize("bend", [60.0, 120.0])
def test_a_bend_is_noticed_soon_behind_it_by_what_is_known_then(bend: float) -> None:
    found = first_alarm(STEPS, reward(0, bend=bend))
    assert found is not None
    assert bend < found.step <= bend + 30
    assert found.onset == pytest.approx(bend, abs=12)
    known = int((found.step >= STEPS).sum())
    assert found == first_alarm(STEPS[:known], reward(0, bend=bend)[:known])
    assert first_alarm(STEPS[: known - 1], reward(0, bend=bend)[: known - 1]) is None


def test_straight_noise_rings_about_as_often_as_the_threshold_says() -> None:
    rang = [first_alarm(STEPS, reward(seed)) is not None for seed in range(60)]
    assert 0.03 <= np.mean(rang) <= 0.2
    higher = [first_alarm(STEPS, reward(seed), 2 * THRESHOLD) is not None for seed in range(60)]
    assert sum(higher) < sum(rang)


@pytest.mark.parametrize("curve", [0 * STEPS - 1, 1e6 + 0 * STEPS, 0.3 * STEPS, -np.maximum(STEPS - 50, 0)])
def test_what_is_constant_straight_or_flattens_never_rings(curve: np.ndarray) -> None:
    assert first_alarm(STEPS, curve) is None


def test_the_scale_of_a_reward_does_not_matter() -> None:
    one, other = (bend_seen(STEPS, scale * reward(0, bend=60) + shift) for scale, shift in ((1, 0), (40, -300)))
    assert one is not None
    assert other is not None
    assert other.onset == one.onset
    assert other.t == pytest.approx(one.t)


def test_a_conformal_threshold_is_a_quantile_and_infinite_where_runs_are_too_few() -> None:
    assert conformal(range(1, 10), 0.1) == 9
    assert conformal(range(1, 9), 0.1) == math.inf
    assert conformal([5, 1, 3, 2, 4, 6, 8, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19], 0.1) == 18


def test_a_benign_run_that_sets_no_threshold_rings_falsely_all_the_same() -> None:
    steps = np.arange(12.0)

    def case(number: int, highest: float, falls: tuple[float, float] | None = None, *, sets: bool = True) -> Case:
        values = {"bend of the reward": np.where(steps >= 4, highest, 0.0), "fallen entropy": np.full(12, np.nan)}
        return Case(steps=steps, values=values, group=number, falls=falls, sets=sets)

    still = [case(n, 1.0) for n in range(9)]
    falling = [case(10, 3.0, (2, 6)), case(11, 3.0, (5, 9)), case(12, 3.0, (0, 3)), case(13, 0.5, (2, 6))]
    found = compared([*still, case(9, 5.0, sets=False), *falling], 60.0)["bend of the reward"]
    assert [found[name]["value"] for name in ("in time", "too early", "too late", "missed")] == [0.25] * 4
    assert found["lead"]["value"] == pytest.approx(np.mean([6 - 4, 9 - 4, 3 - 4, 6 - 11]))
    assert found["false alarms"]["value"] == pytest.approx(1 / 10)
    assert found["false alarms an hour"] == pytest.approx(1 / (10 * 11 / 60))
    with_it = compared([*still, case(9, 5.0), *falling], 60.0)["bend of the reward"]
    assert (with_it["missed"]["value"], with_it["false alarms"]["value"]) == (1.0, pytest.approx(1 / 10))
