"""An RM whose rewards are ten times as large, or a tenth, is fooled by the same texts at the same cost.

A patch that only shrinks or stretches rewards would otherwise pass for one that helped (Gupta et al. 2024,
arXiv:2402.17509).
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from attacks import known_attacks
from miner.judging.criteria import clean_criteria
from miner.rewards import load_reward_model
from miner.searching.attempts import Result, RoundContext, plan_attempt
from miner.searching.driver import Driver
from miner.searching.oracle import Oracle
from miner.testing import toy_prompts
from tests.searching.scripted import WordJudge

ATTACKS = ("gcg", "random", "corrupt", "single_token", "transfer", "attribution")
SEEDS = (("elsewhere", "the file of a size"), ("elsewhere", "socket peer close wait"))


def attacked(folder: Path, scale: float) -> list[Result]:
    rm = load_reward_model(folder, device="cpu", dtype="float32")
    with torch.no_grad():
        for name, parameter in rm.model.named_parameters():
            if name.startswith("classifier."):
                parameter.mul_(scale)
    prompts = [prompt for prompt in toy_prompts(44) if prompt.reference]
    driver = Driver(
        oracle=Oracle(rm=rm, seeds=SEEDS),
        criteria=clean_criteria(rm, prompts[:40], quantile=0.8),
        certifier=WordJudge(),
    )
    context = RoundContext(campaign_id="c", round=0, rm=rm, criteria_hash="h", seed=0)
    attacks = [known_attacks()[name]() for name in ATTACKS]
    return list(
        driver.run([plan_attempt(context, one, [p], seed=0, budget=200) for one in attacks for p in prompts[40:44]])
    )


@pytest.mark.parametrize("scale", [10.0, 0.1])
def test_the_scale_of_rewards_changes_nothing(tiny_rm_folder: Path, scale: float) -> None:
    def facts(results: list[Result]) -> dict[tuple[str, str], tuple[str, int | None, list[str]]]:
        return {
            (one.attempt.attack, one.plan.prompts[0].prompt_id): (
                one.attempt.outcome, one.attempt.queries_to_find, [finding.response for finding in one.findings],
            )
            for one in results
        }  # fmt: skip

    given = facts(attacked(tiny_rm_folder, 1.0))
    assert sum(outcome == "found" for outcome, _, _ in given.values()) >= 6
    assert facts(attacked(tiny_rm_folder, scale)) == given
