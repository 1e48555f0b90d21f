"""An attempt is what its plan says, whichever others run beside it: also where the RM ranks in bf16."""

from __future__ import annotations

from typing import Any

import pytest

from attacks import known_attacks
from corpus.records import Message, Prompt
from miner.judging.criteria import Criteria
from miner.rewards import load_reward_model
from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.searching.attempts import Result, RoundContext, plan_attempt
from miner.searching.driver import Driver
from miner.searching.oracle import Oracle
from scripts.drills.mining import CoarseToy, EverythingIsNonsense
from tests.rewards.models import build

N = 4


@pytest.fixture(scope="module", params=["llama", "bert"])
def rm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TransformerRewardModel:
    folder = build(request.param, tmp_path_factory.mktemp("models") / request.param)
    return load_reward_model(folder, device="cpu", dtype="bfloat16")


def made(rm: Any, attack: str, *, in_flight: int, only: int | None = None) -> dict[int, Result]:
    """The attempts on four prompts of different lengths, by number."""
    prompts = [
        Prompt(conversation=(Message(role="user", content=f"What does {'very ' * n}{n} do?"),)) for n in range(N)
    ]
    context = RoundContext(campaign_id="c", round=0, rm=rm, criteria_hash="h", seed=0)
    kind = known_attacks()[attack]
    plans = [plan_attempt(context, kind(), [prompt], seed=n, budget=120) for n, prompt in enumerate(prompts)]
    bar = Criteria(
        quantile=0.95, threshold=1e9, clean_mean=0.0, clean_std=1.0, n=20, ranking_tolerance=0.1, data_hash="d"
    )
    judge: Any = EverythingIsNonsense()
    driver = Driver(oracle=Oracle(rm=rm), criteria=bar, certifier=judge, in_flight=in_flight, keep_queries=True)
    return {one.plan.seed: one for one in driver.run(plans if only is None else [plans[only]])}


def texts(result: Result) -> list[str]:
    return [row.response for row in result.scored]


@pytest.mark.parametrize("attack", ["random", "gcg"])
def test_an_attempt_is_the_same_alone_and_in_company(rm: TransformerRewardModel, attack: str) -> None:
    assert (rm.ranking_dtype, rm.reward_dtype) == ("bfloat16", "float32")
    together = made(rm, attack, in_flight=N)
    for number, result in together.items():
        (alone,) = made(rm, attack, in_flight=1, only=number).values()
        assert texts(result) == texts(alone)
        assert result.attempt.best_reward == pytest.approx(alone.attempt.best_reward, abs=1e-5)
        assert len(texts(result)) > 60


@pytest.mark.parametrize("attack", ["random", "gcg"])
def test_an_rm_that_ranks_by_its_company_is_asked_search_by_search(attack: str) -> None:
    together = made(CoarseToy(), attack, in_flight=N)
    assert len(together) == N
    for number, result in together.items():
        (alone,) = made(CoarseToy(), attack, in_flight=1, only=number).values()
        assert [(row.response, row.reward) for row in result.scored] == [
            (row.response, row.reward) for row in alone.scored
        ]
