"""Rewards have no unit: an RM whose rewards are sixteen times as large, or as small, is fooled by the same texts."""

from __future__ import annotations

import pytest

from attacks import known_attacks
from miner.searching.driver import Driver
from miner.searching.oracle import Oracle
from miner.testing import ToyRewardModel, toy_prompts
from tests.searching.scripted import WordJudge, criteria, plan

ATTACKS = ("gcg", "random", "corrupt", "single_token", "relax", "attribution")

Found = tuple[int, int | None, tuple[str, ...]]  # an attempt's seed, what its find cost, what it found


def scaled(factor: float) -> ToyRewardModel:
    rm = ToyRewardModel(seed=3)
    rm.weights = {word: factor * weight for word, weight in rm.weights.items()}
    return rm


def found_in(rm: ToyRewardModel, name: str) -> list[Found]:
    driver = Driver(oracle=Oracle(rm=rm), criteria=criteria(rm), certifier=WordJudge())
    plans = [plan(known_attacks()[name](), [p], rm, budget=300, seed=n) for n, p in enumerate(toy_prompts(3))]
    return sorted(
        (one.attempt.seed, one.attempt.queries_to_find, tuple(finding.response for finding in one.findings))
        for one in driver.run(plans)
    )


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("factor", [16.0, 1 / 16])  # powers of two, so that texts of equal reward stay equal
def test_the_same_texts_are_found_at_the_same_cost(name: str, factor: float) -> None:
    as_it_is = found_in(scaled(1.0), name)
    assert any(texts for _, _, texts in as_it_is), "a test of no finding would prove nothing"
    assert found_in(scaled(factor), name) == as_it_is
