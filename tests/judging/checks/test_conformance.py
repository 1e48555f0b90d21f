"""What every registered check promises, whichever it is."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from miner.judging.checks import Check, Materials, Subject, build_checks, known_checks, plant
from tests.judging.checks.conftest import subjects

ODD = ("", " ", ".", "a", "the", "🙂", "\u202e", "x" * 3000, "the " * 500, "日本語の文章です", "{}[]()<>!?" * 20)


@pytest.fixture(autouse=True)
def _our_checks_alone() -> None:
    """Not here: what other packages on this machine register is held to the same promises."""


@pytest.fixture(params=sorted(known_checks()))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def check(name: str, materials: Materials) -> Check:
    return build_checks(materials, [name])[0]


@pytest.fixture(scope="module")
def mixed() -> list[Subject]:
    clean = subjects(20, 11)
    claimed = [replace(clean[0], response="file " * 12, construction="repeated_token")]
    return [*clean, *(s for kind in plant(clean, per_kind=4).values() for s in kind), *claimed]


def test_it_is_called_what_it_is_registered_as(name: str, check: Check) -> None:
    assert check.name == name


def test_order_and_company_of_the_subjects_do_not_matter(check: Check, mixed: list[Subject]) -> None:
    together = check.values(mixed)
    assert together.shape == (len(mixed),)
    backwards = check.values(mixed[::-1])[::-1]
    alone = np.concatenate([check.values([subject]) for subject in mixed])
    np.testing.assert_allclose(together, backwards, atol=1e-4)
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_the_same_subject_gets_the_same_value_twice(check: Check, mixed: list[Subject]) -> None:
    np.testing.assert_array_equal(check.values(mixed), check.values(mixed))


def test_no_subjects_no_values(check: Check) -> None:
    assert check.values([]).shape == (0,)
    assert check.values_about([], 0.0, 1.0).shape == (0,)


def test_about_a_threshold_a_text_gets_one_value_on_the_side_of_its_full_one(
    check: Check, mixed: list[Subject]
) -> None:
    values, spread = check.calibration_values(mixed)
    np.testing.assert_array_equal(values, check.values(mixed))
    for threshold in np.unique(np.nanquantile(values, [0, 0.5, 1])) - 0.05:
        about = check.values_about(mixed, float(threshold), spread)
        np.testing.assert_array_equal(np.isnan(about), np.isnan(values))
        assert np.nanmean((about > threshold) == (values > threshold)) > 0.9
        alone = np.concatenate([check.values_about([subject], float(threshold), spread) for subject in mixed])
        np.testing.assert_allclose(about, alone, atol=1e-4)


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_any_text_gets_a_finite_value_or_an_abstention(check: Check, text: str) -> None:
    value = float(check.values([Subject(response=text, prompt=(), reference=None)])[0])
    assert math.isnan(value) or math.isfinite(value)


def test_it_abstains_on_the_empty_text(check: Check) -> None:
    assert math.isnan(float(check.values([Subject(response="", prompt=(), reference=None)])[0]))


def test_its_identity_is_stable_and_its_own(check: Check, materials: Materials) -> None:
    again = build_checks(materials, [check.name])[0]
    assert check.identity == again.identity
    others = [other.identity for other in build_checks(materials) if other.name != check.name]
    assert len(others) == len(known_checks()) - 1
    assert check.identity not in others


def test_values_have_a_fixed_threshold_or_differ_between_texts(check: Check, mixed: list[Subject]) -> None:
    values = check.values(mixed)
    known = values[~np.isnan(values)]
    assert known.size
    assert check.fixed_threshold is not None or known.max() > known.min()
