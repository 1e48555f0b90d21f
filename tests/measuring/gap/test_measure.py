"""The gap on pools whose answer is known, the probe on an RM with planted tastes, and what is stored of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from corpus import Corpus
from corpus.records import Message, Prompt
from miner.config.campaign import PatchSection
from miner.errors import ConfigError
from miner.judging.criteria import Criteria
from miner.judging.gold import Answer, Gold, RewardGold
from miner.measuring.diversity.response_sets import PromptResponses
from miner.measuring.diversity.sampling import SamplePlan
from miner.measuring.gap import (
    ChoiceValue,
    Fact,
    Facts,
    Selection,
    fact_rates,
    factual_findings,
    measure_selection,
    read_gap,
    score_facts,
    score_pools,
)
from miner.measuring.gap.run import GapRequest, measure_gap
from miner.patching.findings import training_findings
from miner.progress import Silent
from miner.reporting.measurements import write_measurement
from miner.reporting.sections import GAP
from miner.reporting.summarise import _nonsense
from miner.rewards.base import Pair
from miner.searching.attempts import RoundContext
from miner.testing import ToyRewardModel, toy_prompts

CRITERIA = Criteria(
    quantile=0.95, threshold=5.0, clean_mean=0.0, clean_std=2.0, n=20, ranking_tolerance=0.0, data_hash="d"
)


def context(rm: ToyRewardModel) -> RoundContext:
    return RoundContext(campaign_id="c", round=0, rm=rm, criteria_hash="h", seed=0)


def quiet(_done: int, _total: int) -> None: ...


def pools(rm: ToyRewardModel, *, n_prompts: int = 12, n: int = 16) -> list[PromptResponses]:
    rng = np.random.default_rng(0)
    return [
        PromptResponses(
            key=str(i),
            group=str(i),
            prompt=(Message(role="user", content=f"Question {i}?"),),
            reference=f"{rm.flaw} {rm.flaw}",
            responses=tuple(" ".join(rng.choice(rm.vocabulary, size=3)) for _ in range(n)),
        )
        for i in range(n_prompts)
    ]


class Inverted:
    """Gold that likes what the RM does not."""

    name, fingerprint, needs_reference = "the RM's opposite", "-", False

    def __init__(self, rm: ToyRewardModel) -> None:
        self.inner = RewardGold(rm=rm)

    def scores(self, answers: Sequence[Answer]) -> list[float | None]:
        return [None if score is None else -score for score in self.inner.scores(answers)]


class Abstaining:
    """The RM's reward as gold, but for the samples that begin with ``silent``."""

    name, fingerprint, needs_reference = "half a gold", "half", False

    def __init__(self, rm: ToyRewardModel, silent: Collection[str]) -> None:
        self.inner, self.silent = RewardGold(rm=rm), silent

    def scores(self, answers: Sequence[Answer]) -> list[float | None]:
        given = zip(answers, self.inner.scores(answers), strict=True)
        return [None if answer.response in self.silent else score for answer, score in given]


def selected(rm: ToyRewardModel, gold: Gold, first: Gold | None = None) -> Selection:
    """The gap of one gold, compared with that of another on the same samples."""
    scored, before = (None if one is None else score_pools(rm, one, pools(rm), progress=quiet) for one in (gold, first))
    assert scored is not None
    return measure_selection(scored, label="policy", first=before, seed=0)


def choice_of(found: Selection) -> ChoiceValue:
    assert found.choice is not None
    return found.choice


def test_an_rm_that_is_gold_has_all_of_the_possible_gain() -> None:
    rm = ToyRewardModel()
    found = selected(rm, RewardGold(rm=rm))
    choice = choice_of(found)
    assert choice.used == pytest.approx(1)
    assert choice.gain.low > 0
    assert choice.turn.n is None
    assert choice.negative_from is None
    assert not found.is_negative
    assert not found.is_reversed
    assert choice.concordance is not None
    assert choice.concordance.value == 1
    assert found.prefers_reference is not None
    assert found.prefers_reference.value == 1
    assert found.to_reference is not None
    assert found.to_reference.low > 0
    assert found.distinct.value == 16


def test_an_rm_that_is_the_opposite_of_gold_turns_at_once_and_is_negative_from_two_samples_on() -> None:
    rm = ToyRewardModel()
    found = selected(rm, Inverted(rm))
    choice = choice_of(found)
    assert choice.gain.high < 0
    assert (choice.turn.n, choice.turn.sure) == (1, True)
    assert choice.negative_from == 2
    assert found.is_negative
    assert found.is_reversed


def test_the_gain_along_the_curve_ends_in_that_of_the_whole_pool() -> None:
    rm = ToyRewardModel()
    found = selected(rm, Inverted(rm))
    assert (found.curve[0].gain.value, found.curve[0].gain.low, found.curve[0].gain.high) == (0, 0, 0)
    assert found.curve[-1].gain == choice_of(found).gain
    for point in found.curve:
        assert point.gain.value == pytest.approx(point.picked.value - found.sample.value)


def test_the_change_since_the_first_policy_is_that_of_the_gains_in_pairs() -> None:
    rm = ToyRewardModel()
    before, after = selected(rm, RewardGold(rm=rm)), selected(rm, Inverted(rm), first=RewardGold(rm=rm))
    change = choice_of(after).gain_change
    assert choice_of(before).gain_change is None
    assert change is not None
    assert change.value == pytest.approx(choice_of(after).gain.value - choice_of(before).gain.value)
    assert change.high < 0
    ranked = choice_of(after).concordance_change
    assert ranked is not None
    assert ranked.value == -1, "from every pair right to none"
    same = choice_of(selected(rm, Inverted(rm), first=Inverted(rm))).gain_change
    assert same is not None
    assert (same.value, same.low, same.high) == (0, 0, 0), "the same samples differ by nothing, not by noise"


def test_a_gap_that_is_negative_for_many_samples_only_says_from_how_many() -> None:
    rm = ToyRewardModel()
    scored = score_pools(rm, RewardGold(rm=rm), pools(rm), progress=quiet)
    rank = [pool.rewards.argsort().argsort() for pool in scored]
    flawed = [replace(pool, gold=np.where(at == 15, -15.0, at)) for pool, at in zip(scored, rank, strict=True)]
    found = measure_selection(flawed, label="flawed", seed=0)
    start = choice_of(found).negative_from
    assert start is not None
    assert 2 < start < 16
    for point in found.curve:
        assert (point.gain.high < 0) == (point.n >= start)


def test_samples_of_one_text_leave_nothing_to_choose() -> None:
    rm = ToyRewardModel()
    one_text = [replace(one, responses=("a b",) * 16) for one in pools(rm)]
    found = measure_selection(score_pools(rm, RewardGold(rm=rm), one_text, progress=quiet), label="collapsed", seed=0)
    assert found.choice is None
    assert not found.is_negative
    assert found.distinct.value == 1
    assert found.pick.value == found.sample.value


def test_prompts_with_a_sample_on_which_gold_abstains_are_left_out() -> None:
    rm, written = ToyRewardModel(), pools(ToyRewardModel())
    gold = Abstaining(rm, {written[2].responses[0], written[7].responses[-1]})
    found = score_pools(rm, gold, written, progress=quiet)
    assert [pool.key for pool in found] == [str(at) for at in range(12) if at not in (2, 7)]


def test_a_reference_on_which_gold_abstains_costs_the_reference_alone() -> None:
    rm, written = ToyRewardModel(), pools(ToyRewardModel())
    found = score_pools(rm, Abstaining(rm, {str(written[0].reference)}), written, progress=quiet)
    assert len(found) == 12
    assert {pool.reference_gold for pool in found} == {None}
    assert measure_selection(found, label="policy", seed=0).to_reference is None


def test_prompts_with_a_sample_to_which_the_rm_gives_no_reward_are_left_out() -> None:
    class Holed(ToyRewardModel):
        def reward(self, pair: Pair) -> float:
            return float("nan") if pair.response == written[3].responses[1] else super().reward(pair)

    written = pools(ToyRewardModel())
    found = score_pools(Holed(), RewardGold(rm=ToyRewardModel()), written, progress=quiet)
    assert len(found) == 11
    assert measure_selection(found, label="policy", seed=0).prompts == 11


def test_policies_are_compared_on_the_prompts_that_gold_could_tell_of_both() -> None:
    rm = ToyRewardModel()
    whole, opposite = (score_pools(rm, gold, pools(rm), progress=quiet) for gold in (RewardGold(rm=rm), Inverted(rm)))
    after = choice_of(measure_selection(opposite[:9], label="after", first=whole[:2:-1], seed=0))
    assert after.gain.n == 9
    assert after.gain_change is not None
    assert after.gain_change.n == 6
    on_both = choice_of(measure_selection(opposite[3:9], label="after", first=whole[3:9], seed=0))
    assert on_both.gain_change is not None
    assert after.gain_change.value == on_both.gain_change.value
    assert after.concordance_change is not None
    for few in (whole[5:], whole[9:]):
        alone = choice_of(measure_selection(opposite[:9], label="after", first=few, seed=0))
        assert alone.gain_change is None, "too few prompts in common for an interval"


def test_a_reference_is_not_put_before_the_checks() -> None:
    asked: list[Answer] = []

    class Listening(Abstaining):
        def scores(self, answers: Sequence[Answer]) -> list[float | None]:
            asked.extend(answers)
            return super().scores(answers)

    rm = ToyRewardModel()
    score_pools(rm, Listening(rm, ()), pools(rm), progress=quiet)
    assert {answer.nonsense for answer in asked if answer.response == answer.reference} == {False}
    assert {answer.nonsense for answer in asked if answer.response != answer.reference} == {None}


def planted_facts(rm: ToyRewardModel, n: int = 10) -> list[Fact]:
    """``n`` facts whose swap the RM likes, and as many whose swap it does not."""
    plain = min(rm.vocabulary, key=lambda word: rm.weights[word])
    return [
        Fact(
            prompt=prompt,
            kind=kind,
            true=f"In a, {true}",
            false=f"In a, {false}",
            original=true,
            swapped=false,
            proof="planted",
        )
        for prompt in toy_prompts(n, split="held_out")
        for kind, true, false in (("liked", plain, rm.flaw), ("disliked", rm.flaw, plain))
    ]


def test_rates_by_kind_are_those_planted() -> None:
    rm = ToyRewardModel()
    rates = {one.kind: one for one in fact_rates(score_facts(rm, planted_facts(rm)), {"liked": 3, "none": 2}, seed=0)}
    assert rates["liked"].prefers_true.value == 0
    assert rates["disliked"].prefers_true.value == 1
    assert (rates["liked"].prefers_true.n, rates["liked"].abstained) == (10, 3)
    assert rates["liked"].examples[0].proof == "planted"
    assert rates["disliked"].examples == []
    assert "none" not in rates, "a rate of nothing is not reported"


def test_only_swaps_that_win_become_findings_and_they_are_factual() -> None:
    rm = ToyRewardModel()
    scored = score_facts(rm, planted_facts(rm))
    none = factual_findings(scored, CRITERIA, context(rm))
    assert [finding for _, finding in none if finding] == [], "a third of the flaw's weight is under the bar"
    low = replace(CRITERIA, threshold=3.0)
    rows = factual_findings(scored, low, context(rm))
    found = [finding for _, finding in rows if finding is not None]
    assert len(found) == 10
    assert {(f.kind, f.split, f.attack_params["kind"]) for f in found} == {("factual", "held_out", "liked")}
    assert all(f.reward >= 3 and f.reward > (f.reference_reward or 0) for f in found)
    assert [attempt.outcome for attempt, _ in rows].count("found") == 10
    assert len({attempt.attempt_id for attempt, _ in rows}) == 20


def test_a_swap_is_a_finding_by_the_reward_of_its_text_alone_not_by_what_a_batch_said_of_it() -> None:
    rm = ToyRewardModel()
    liked = [one for one in score_facts(rm, planted_facts(rm)) if one.fact.kind == "liked"]
    low = replace(CRITERIA, threshold=3.0)
    rows = [replace(one, false_reward=one.false_reward + 7) for one in liked]
    found = [finding for _, finding in factual_findings(rows, low, context(rm)) if finding is not None]
    assert [finding.reward for finding in found] == [one.false_reward for one in liked]


@pytest.mark.parametrize("written", ["\x07", "\x1b[31m", "[SEP]"])
def test_a_swap_that_is_no_plain_text_is_no_finding_however_it_scores(written: str) -> None:
    rm = ToyRewardModel()
    facts = [
        replace(fact, false=f"{fact.false}{written}", swapped=f"{fact.swapped}{written}")
        for fact in planted_facts(rm)
        if fact.kind == "liked"
    ]
    rm.weights[f"{rm.flaw}{written}"] = rm.FLAW_WEIGHT
    low = replace(CRITERIA, threshold=3.0)

    def found() -> int:
        return sum(finding is not None for _, finding in factual_findings(score_facts(rm, facts), low, context(rm)))

    if written == "[SEP]":
        assert found() == len(facts), "no special token of this RM: plain text that wins"
        rm.special_tokens = (written,)
    assert found() == 0


def test_headline_figures_and_patches_leave_factual_findings_out() -> None:
    rm = ToyRewardModel()
    low = replace(CRITERIA, threshold=3.0)
    train = [fact for fact in planted_facts(rm) if fact.kind == "liked"]
    rows = factual_findings(score_facts(rm, train), low, context(rm))
    findings = [finding for _, finding in rows if finding is not None]
    assert findings
    campaign: Any = SimpleNamespace(findings=lambda: findings)
    assert _nonsense(campaign) == []
    nonsense = [replace(finding, kind="nonsense", split="train") for finding in findings]
    on_train = [replace(finding, split="train") for finding in findings]
    assert training_findings(on_train, PatchSection()) == []
    assert len(training_findings(nonsense, PatchSection())) == len(nonsense)


def test_facts_alone_are_measured_stored_once_and_shown(tmp_path: Path) -> None:
    rm = ToyRewardModel()
    rng = np.random.default_rng(1)
    clean = [
        Prompt(
            conversation=(Message(role="user", content=f"Clean {i}?"),),
            reference=" ".join(rng.choice(rm.vocabulary, size=6)),
            split="calibration",
        )
        for i in range(30)
    ]

    def ask(facts: list[Fact]) -> Any:
        request = GapRequest(
            policies=(), prompts=(), plan=SamplePlan(n=2), gold=None, device="cpu",
            facts=Facts(facts=tuple(facts), abstained={}), calibration=clean, quantile=0.9, folder=tmp_path,
        )  # fmt: skip
        return measure_gap(rm, request, observer=Silent(), command="test")

    report = ask(planted_facts(rm))
    assert report.findings == 10
    assert ask(planted_facts(rm)).findings == 10
    corpus = Corpus(tmp_path / "corpus")
    assert len(corpus.findings()) == 10, "the same command adds nothing"
    assert len(corpus.attempts()) == 20
    report.write(tmp_path)
    assert read_gap(tmp_path) == report
    page = write_measurement(tmp_path, GAP, "What toy is still good for", report).read_text()
    assert {path.stem for path in (tmp_path / "plots").iterdir()} == {"gap_facts"}
    assert page.count('<tr class="fact">') == 2
    assert page.count('<tr class="swap">') == 5
    with pytest.raises(ConfigError, match="nothing to measure"):
        ask([])
