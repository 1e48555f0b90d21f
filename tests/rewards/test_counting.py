"""A text is tokenised to be scored, and not once more to be counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from attacks import known_attacks
from corpus.records import Prompt
from miner.judging.checks import CalibratedCheck, Certifier
from miner.judging.checks.repetition import Repetition
from miner.judging.criteria import Criteria
from miner.rewards import load_reward_model
from miner.rewards.adapters.pairwise import PairwiseRewardModel
from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.rewards.base import Pair
from miner.searching.attempts import RoundContext, plan_attempt
from miner.searching.driver import Driver
from miner.searching.oracle import Oracle
from miner.serving.batcher import Batcher, Precision
from tests.rewards.asking_models import REFERENCES
from tests.rewards.counting import counted
from tests.rewards.models import ARCHITECTURES, PAIRS

RmOf = Callable[[str], TransformerRewardModel]
NO_WIN = Criteria(
    quantile=0.95, threshold=np.inf, clean_mean=0, clean_std=1, n=20, ranking_tolerance=0, data_hash="none"
)
NEVER_ASKED = Certifier(checks=(CalibratedCheck(check=Repetition(), threshold=1, target=None, calibration_id="none"),))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_was_scored_is_counted_without_the_tokenizer(name: str, rm_of: RmOf) -> None:
    plain = rm_of(name)
    expected = [len(ids) for ids, _ in plain.pipeline.ids(PAIRS)]
    ways: list[Callable[[TransformerRewardModel, Sequence[Pair]], object]] = [
        lambda rm, pairs: rm.rewards(pairs),
        lambda rm, pairs: rm.exact_rewards(pairs),
        lambda rm, pairs: [rm.reward(pair) for pair in pairs],
    ]
    for score in ways:
        rm, given = counted(plain)
        score(rm, PAIRS)
        assert given.total() == len(PAIRS)
        assert rm.lengths(PAIRS) == expected
        assert [rm.n_tokens(pair) for pair in PAIRS] == expected
        assert given.total() == len(PAIRS)


def test_what_was_not_scored_is_counted_with_it(rm_of: RmOf) -> None:
    rm, given = counted(rm_of("llama"))
    rm.rewards(PAIRS[:2])
    assert rm.lengths(PAIRS[:4]) == rm_of("llama").lengths(PAIRS[:4])
    assert given.total() == 4


def test_both_orders_of_a_comparison_are_counted_without_it(rm_of: RmOf) -> None:
    comparer, given = counted(rm_of("llama"))
    rm = PairwiseRewardModel(comparer=comparer, references=REFERENCES)
    rm.rewards(PAIRS)
    scored = given.total()
    assert scored == 2 * len(PAIRS)
    assert len(rm.lengths(PAIRS)) == len(PAIRS)
    assert given.total() == scored


def test_what_replicas_scored_is_counted_by_the_first(folder_of: Callable[[str], Path]) -> None:
    rm = load_reward_model(folder_of("llama"), device="cpu,cpu", dtype="float32")
    assert rm.fleet is not None
    first, given = counted(rm)
    rm.fleet.members[0] = first
    pairs = [Pair(PAIRS[0].prompt, f"number {n}") for n in range(32)]
    first.rewards(pairs)
    assert given.total() == len(pairs) / 2  # the other replica's own tokenizer has the rest
    first.lengths(pairs)
    assert given.total() == len(pairs) / 2


def test_counts_do_not_pile_up(rm_of: RmOf, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(PAIRS) > 8
    monkeypatch.setattr("miner.rewards.adapters.transformer.LENGTHS_KEPT", 8)
    rm, given = counted(rm_of("llama"))
    rm.rewards(PAIRS)
    assert rm.lengths(PAIRS[-8:]) == rm_of("llama").lengths(PAIRS[-8:])
    assert given.total() == len(PAIRS)
    rm.lengths(PAIRS[:1])
    assert given.total() == len(PAIRS) + 1


@pytest.mark.parametrize("precision", ["ranking", "exact", "alone", "lengths"])
def test_a_server_tokenises_each_text_once(precision: Precision, rm_of: RmOf) -> None:
    rm, given = counted(rm_of("llama"))
    batcher = Batcher(rm=rm)
    try:
        answer = batcher.ask(precision, PAIRS)
    finally:
        batcher.close()
    assert list(answer.n_tokens) == rm_of("llama").lengths(PAIRS)
    assert given.total() == len(PAIRS)


@pytest.mark.parametrize("attack", ["corrupt", "single_token"])
def test_a_search_tokenises_each_text_once(attack: str, tiny_rm_folder: Path) -> None:
    """Both attacks ask for scores alone, once a text; which tokens there are is known before the count."""
    rm, given = counted(load_reward_model(tiny_rm_folder, device="cpu", dtype="float32"))
    rm.all_tokens()
    asked = [pair.prompt for pair in PAIRS if rm.n_tokens(Pair(pair.prompt, "")) < 20]
    prompts = [Prompt(conversation=conversation, reference=None) for conversation in dict.fromkeys(asked)]
    assert len(prompts) > 2
    context, kind = RoundContext(campaign_id="c", round=0, rm=rm, criteria_hash="h", seed=0), known_attacks()[attack]
    plans = [plan_attempt(context, kind(), [prompt], seed=n, budget=200) for n, prompt in enumerate(prompts)]
    given.clear()
    driver = Driver(oracle=Oracle(rm=rm), criteria=NO_WIN, certifier=NEVER_ASKED, keep_queries=True)
    results = list(driver.run(plans))
    assert set(given.values()) == {1}
    assert sum(result.attempt.queries for result in results) == len(given) > 20 * len(plans)
    for result in results:
        scored = [Pair(result.plan.prompts[0].conversation, row.response) for row in result.scored]
        expected = sum(rm.flops(len(ids)) for ids, _ in rm.pipeline.ids(scored))
        assert result.attempt.flops == pytest.approx(expected, rel=1e-12)
