"""The gap on pools whose answer is known, the probe on an RM with planted tastes, and what is stored of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from corpus import Corpus
from corpus.records import Conversation, Message, Prompt
from miner.config import PatchSection
from miner.criteria import Criteria
from miner.diversity.sampling import SamplePlan
from miner.diversity.writings import Written
from miner.errors import ConfigError
from miner.gap import (
    Choice,
    Fact,
    Facts,
    Selection,
    fact_rates,
    factual_findings,
    judge_facts,
    measure_selection,
    read_gap,
    score_pools,
)
from miner.gap.run import measure_gap
from miner.gold import Gold, GoldReward, Overlap
from miner.patch import training_findings
from miner.progress import Silent
from miner.report.gap_figures import FIGURES
from miner.report.measurements import draw_plots, write_measurement
from miner.summarise import _nonsense
from miner.testing import ToyRewardModel, toy_prompts

CRITERIA = Criteria(
    quantile=0.95, threshold=5.0, clean_mean=0.0, clean_std=2.0, n=20, ranking_tolerance=0.0, data_hash="d"
)


def quiet(_done: int, _total: int) -> None: ...


def pools(rm: ToyRewardModel, *, n_prompts: int = 12, n: int = 16) -> list[Written]:
    rng = np.random.default_rng(0)
    return [
        Written(
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

    name, needs_reference = "the RM's opposite", False

    def __init__(self, rm: ToyRewardModel) -> None:
        self.inner = GoldReward(rm=rm)

    def values(self, prompt: Conversation, reference: str | None, responses: Sequence[str]) -> npt.NDArray[np.float64]:
        return -self.inner.values(prompt, reference, responses)


def selected(rm: ToyRewardModel, gold: Gold, first: Gold | None = None) -> Selection:
    """The gap of one gold, compared with that of another on the same samples."""
    scored, before = (None if one is None else score_pools(rm, one, pools(rm), progress=quiet) for one in (gold, first))
    assert scored is not None
    return measure_selection(scored, label="policy", first=before, seed=0)


def choice_of(found: Selection) -> Choice:
    assert found.choice is not None
    return found.choice


def test_an_rm_that_is_gold_has_all_of_the_possible_gain() -> None:
    rm = ToyRewardModel()
    found = selected(rm, GoldReward(rm=rm))
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
    before, after = selected(rm, GoldReward(rm=rm)), selected(rm, Inverted(rm), first=GoldReward(rm=rm))
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
    scored = score_pools(rm, GoldReward(rm=rm), pools(rm), progress=quiet)
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
    found = measure_selection(score_pools(rm, GoldReward(rm=rm), one_text, progress=quiet), label="collapsed", seed=0)
    assert found.choice is None
    assert not found.is_negative
    assert found.distinct.value == 1
    assert found.pick.value == found.sample.value


def test_overlap_is_one_for_the_reference_and_low_for_its_shuffle() -> None:
    reference = "Return the name of the file that was opened last"
    values = Overlap().values((), reference, [reference, "last opened was that file the of name the Return", ""])
    assert values[0] == 1
    assert values[1] < 0.5
    assert values[2] == 0
    with pytest.raises(ConfigError, match="--gold-rm"):
        Overlap().values((), None, ["a"])


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
    rates = {one.kind: one for one in fact_rates(judge_facts(rm, planted_facts(rm)), {"liked": 3, "none": 2}, seed=0)}
    assert rates["liked"].prefers_true.value == 0
    assert rates["disliked"].prefers_true.value == 1
    assert (rates["liked"].prefers_true.n, rates["liked"].abstained) == (10, 3)
    assert rates["liked"].examples[0].proof == "planted"
    assert rates["disliked"].examples == []
    assert "none" not in rates, "a rate of nothing is not reported"


def test_only_swaps_that_win_become_findings_and_they_are_factual() -> None:
    rm = ToyRewardModel()
    judged = judge_facts(rm, planted_facts(rm))
    none = factual_findings(rm, judged, CRITERIA, campaign_id="c", seed=0)
    assert [finding for _, finding in none if finding] == [], "a third of the flaw's weight is under the bar"
    low = replace(CRITERIA, threshold=3.0)
    rows = factual_findings(rm, judged, low, campaign_id="c", seed=0)
    found = [finding for _, finding in rows if finding is not None]
    assert len(found) == 10
    assert {(f.kind, f.split, f.attack_params["kind"]) for f in found} == {("factual", "held_out", "liked")}
    assert all(f.reward >= 3 and f.reward > (f.reference_reward or 0) for f in found)
    assert [attempt.outcome for attempt, _ in rows].count("found") == 10
    assert len({attempt.attempt_id for attempt, _ in rows}) == 20


def test_headline_figures_and_patches_leave_factual_findings_out() -> None:
    rm = ToyRewardModel()
    low = replace(CRITERIA, threshold=3.0)
    train = [fact for fact in planted_facts(rm) if fact.kind == "liked"]
    rows = factual_findings(rm, judge_facts(rm, train), low, campaign_id="c", seed=0)
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
        return measure_gap(
            rm, policies=(), prompts=(), plan=SamplePlan(n=2), gold=None, device="cpu",
            facts=Facts(facts=tuple(facts), abstained={}), calibration=clean, quantile=0.9, folder=tmp_path,
            observer=Silent(), command="test",
        )  # fmt: skip

    report = ask(planted_facts(rm))
    assert report.findings == 10
    assert ask(planted_facts(rm)).findings == 10
    corpus = Corpus(tmp_path / "corpus")
    assert len(corpus.findings()) == 10, "the same command adds nothing"
    assert len(corpus.attempts()) == 20
    report.write(tmp_path)
    assert read_gap(tmp_path) == report
    plots = draw_plots(report, FIGURES)
    assert set(plots) == {"gap_facts"}
    page = write_measurement(tmp_path, "gap", "What toy is still good for", report, plots).read_text()
    assert page.count('<tr class="fact">') == 2
    assert page.count('<tr class="swap">') == 5
    with pytest.raises(ConfigError, match="nothing to measure"):
        ask([])
