"""An RM that leaves some texts without a reward: no score is made up, and searches go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest

from attacks import Attack, Score, Search
from attacks.random_search import RandomSearch
from corpus.records import Prompt
from miner.campaigns.evaluation import clean_outcomes
from miner.errors import ConfigError
from miner.judging.criteria import clean_criteria
from miner.rewards.base import Pair
from miner.searching.attempts import Result, RoundContext, plan_attempt
from miner.searching.driver import Driver
from miner.searching.oracle import Oracle
from miner.testing import ToyRewardModel, toy_prompts
from scripts.drills.mining import EverythingIsNonsense


class Abstaining(ToyRewardModel):
    """No reward for a text that holds one of ``silent``; the flaw is never among them."""

    def __init__(self, share: float) -> None:
        super().__init__(gives_gradients=False)
        others = [word for word in self.vocabulary if word != self.flaw]
        self.silent = set(others[: round(share * len(others))])

    def reward(self, pair: Pair) -> float:
        return float("nan") if self.silent & set(pair.response.split()) else super().reward(pair)

    def rewards(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        return np.array([self.reward(pair) for pair in pairs])


def prompts(n: int = 40) -> list[Prompt]:
    """Prompts with references of different rewards."""
    words = ToyRewardModel().vocabulary[-n:]
    return [replace(one, reference=word) for one, word in zip(toy_prompts(n), words, strict=True)]


def mined(rm: Abstaining, attack: Attack) -> list[Result]:
    bar = clean_criteria(ToyRewardModel(), prompts(), quantile=0.95)
    judge: Any = EverythingIsNonsense()
    driver = Driver(oracle=Oracle(rm=rm), criteria=bar, certifier=judge, keep_queries=True)
    context = RoundContext(campaign_id="c", round=0, rm=rm, criteria_hash="h", seed=0)
    plans = [plan_attempt(context, attack, [prompt], seed=n, budget=600) for n, prompt in enumerate(prompts()[:8])]
    return list(driver.run(plans))


TOLD: list[list[float]] = []


@dataclass(frozen=True, kw_only=True)
class Listener(Attack):
    """Asks for a text without a reward beside one that has one, and keeps what it is told."""

    name: ClassVar[str] = "listener"
    family: ClassVar[str] = "random"
    silent: str = ""

    def search(self, seed: int) -> Search:
        del seed
        rewards = yield Score((self.silent, "unknown"))
        TOLD.append(rewards[:, 0].tolist())


def test_a_search_is_told_that_a_text_without_a_reward_is_worth_nothing() -> None:
    rm = Abstaining(0.01)
    TOLD.clear()
    (silent,) = rm.silent
    results = mined(rm, Listener(silent=silent))
    assert [[-np.inf, 0.0]] * 8 == TOLD, "NaN is above nothing and below nothing: a climb from it never ends"
    assert {result.attempt.queries for result in results} == {2}, "it was asked, and counts"


def test_a_search_goes_on_past_texts_without_a_reward() -> None:
    results = mined(Abstaining(0.03), RandomSearch())
    errors = [result for result in results if result.attempt.outcome == "error"]
    assert all(result.attempt.queries == 1 for result in errors), "where the very start has none, and only there"
    assert sum(result.attempt.outcome == "found" for result in results) >= 3, "not stuck"
    stored = [row for result in results for row in result.scored]
    assert stored
    assert all(np.isfinite(row.reward) for row in stored)
    assert all(np.isfinite(finding.reward) for result in results for finding in result.findings)
    assert any(len(result.scored) < result.attempt.queries for result in results), "what abstained was asked and paid"


def test_where_nothing_has_a_reward_the_attempt_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    rm = Abstaining(0.0)
    rm.silent = set(rm.vocabulary[:-40])  # the references keep theirs
    monkeypatch.setattr(rm, "words", lambda n, _rng: tuple(sorted(rm.silent)[:n]))
    results = mined(rm, RandomSearch())
    assert {result.attempt.outcome for result in results} == {"error"}
    assert all("no number" in str(result.attempt.error) for result in results)


def test_a_reference_without_a_reward_is_nothing_to_beat() -> None:
    rm = Abstaining(0.0)
    rm.silent = set(rm.vocabulary[-40:])
    (error,) = {result.attempt.error for result in mined(rm, RandomSearch())}
    assert "nothing to beat" in str(error)


def test_a_few_clean_references_without_a_reward_are_left_out_of_the_bar() -> None:
    rm, clean = Abstaining(0.0), prompts()
    rm.silent = {str(clean[3].reference)}
    bar, without = clean_criteria(rm, clean, quantile=0.95), [one for n, one in enumerate(clean) if n != 3]
    assert bar.n == len(clean) - 1
    assert bar.threshold == clean_criteria(rm, without, quantile=0.95).threshold


def test_an_rm_that_abstains_often_sets_no_bar() -> None:
    rm, clean = Abstaining(0.0), prompts()
    rm.silent = {str(one.reference) for one in clean[:5]}
    with pytest.raises(ConfigError, match="5 of 40 clean references no reward"):
        clean_criteria(rm, clean, quantile=0.95)


def test_clean_accuracy_leaves_out_what_has_no_reward() -> None:
    rm, clean = Abstaining(0.0), prompts()
    pairs = [replace(one, rejected=("ba",)) for one in clean]
    whole = clean_outcomes(rm, pairs)
    rm.silent = {str(clean[0].reference)}
    part = clean_outcomes(rm, pairs)
    assert whole is not None
    assert part is not None
    assert part.preferred == whole.preferred[1:]
    rm.silent = set(rm.vocabulary)
    assert clean_outcomes(rm, pairs) is None
