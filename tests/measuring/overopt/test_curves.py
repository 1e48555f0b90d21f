"""Change-points and laws on curves whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from miner.measuring.overopt.changepoint import bend, bend_interval
from miner.measuring.overopt.fits import fit, predicted

STEPS = np.arange(0, 105, 5, dtype=float)


def bent(at: float, slope: float = 0.05) -> np.ndarray:
    return 0.004 * STEPS + slope * np.maximum(STEPS - at, 0)


@pytest.mark.parametrize("at", [25.0, 40.0, 62.5])
def test_a_bend_is_found_where_it_was_put(at: float) -> None:
    found = bend(STEPS, bent(at))
    assert found is not None
    assert found.step == pytest.approx(at)
    assert found.gain == pytest.approx(0.05)


def test_a_curve_that_only_flattens_has_no_upward_bend() -> None:
    assert bend(STEPS, -bent(40)) is None


def test_the_interval_covers_the_bend_in_noise_about_as_often_as_it_says() -> None:
    rng, covered = np.random.default_rng(0), 0
    for trial in range(40):
        found = bend_interval(STEPS, bent(45) + rng.normal(size=(48, len(STEPS))), seed=trial)
        assert found is not None
        covered += found.low <= 45 <= found.high
    assert covered >= 34


def test_too_few_points_or_prompts_give_no_interval() -> None:
    assert bend(STEPS[:5], bent(10)[:5]) is None
    assert bend_interval(STEPS, np.tile(bent(40), (7, 1))) is None


@pytest.mark.parametrize(("law", "peak"), [("bon", 2.0), ("rl", np.exp(1.0))])
def test_a_law_is_recovered_with_its_peak(law: str, peak: float) -> None:
    distance = np.linspace(0, 5, 21)
    rng = np.random.default_rng(0)
    truth = predicted(law, distance, 0.4, 0.1 if law == "bon" else 0.2)  # type: ignore[arg-type]
    found = fit(law, distance, 0.3 + truth + 0.05 * rng.normal(size=(40, 21)))  # type: ignore[arg-type]
    assert found is not None
    assert found.alpha.low <= 0.4 <= found.alpha.high
    assert found.peak == pytest.approx(peak, rel=0.15)


def test_too_few_prompts_give_no_fit() -> None:
    assert fit("rl", np.linspace(0, 3, 10), np.zeros((7, 10))) is None
