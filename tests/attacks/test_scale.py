"""Rewards have no unit: an RM whose rewards are sixteen times as large, or as small, is fooled by the same texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from attacks import known_attacks
from miner.judging.criteria import Criteria
from miner.rewards.base import Pair
from miner.searching.driver import Driver
from miner.searching.oracle import Oracle
from miner.testing import ToyRewardModel, toy_prompts
from tests.searching.test_driver import WordJudge, criteria, plan

ATTACKS = ("gcg", "random", "corrupt", "single_token", "relax", "attribution")


class Scaled(ToyRewardModel):
    def __init__(self, factor: float) -> None:
        super().__init__(seed=3)
        self.factor = factor
        self.weights = {word: factor * weight for word, weight in self.weights.items()}

    def exact_rewards(self, pairs: Any) -> npt.NDArray[np.float64]:
        return np.array([self.reward(pair) for pair in pairs], dtype=np.float64)


def scaled_criteria(factor: float) -> Criteria:
    return criteria(Scaled(factor))


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("factor", [16.0, 1 / 16])  # of two, so that texts of equal reward stay equal
def test_the_same_texts_are_found_at_the_same_cost(name: str, factor: float) -> None:
    found = []
    for scale in (1.0, factor):
        rm = Scaled(scale)
        driver = Driver(oracle=Oracle(rm=rm), criteria=scaled_criteria(scale), judge=WordJudge())
        plans = [plan(known_attacks()[name](), [p], rm, budget=300, seed=n) for n, p in enumerate(toy_prompts(3))]
        found.append(
            sorted(
                (result.attempt.seed, result.attempt.queries_to_find or 0, tuple(f.response for f in result.findings))
                for result in driver.run(plans)
            )
        )
    assert found[0] == found[1]
    assert Scaled(factor).reward(Pair(toy_prompts(1)[0].conversation, Scaled(1.0).flaw)) == pytest.approx(10 * factor)
