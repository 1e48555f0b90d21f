"""The gap on pools whose answer is known, the probe on an RM with planted tastes, and what is stored of it."""

from __future__ import annotations

from collections.abc import Sequence
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
from miner.gap import Fact, Facts, fact_rates, factual_findings, judge_facts, measure_selection, read_gap
from miner.gap.run import measure_gap
from miner.gold import GoldReward, Overlap
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


def test_an_rm_that_is_gold_has_all_of_the_possible_gain() -> None:
    rm = ToyRewardModel()
    found = measure_selection(rm, GoldReward(rm=rm), pools(rm), seed=0, progress=quiet)
    assert found.used == pytest.approx(1)
    assert found.gain.low > 0
    assert found.turn.n is None
    assert found.concordance is not None
    assert found.concordance.value == 1
    assert found.prefers_reference is not None
    assert found.prefers_reference.value == 1
    assert found.to_reference is not None
    assert found.to_reference.low > 0


def test_an_rm_that_is_the_opposite_of_gold_turns_at_once() -> None:
    rm = ToyRewardModel()
    found = measure_selection(rm, Inverted(rm), pools(rm), seed=0, progress=quiet)
    assert found.gain.high < 0
    assert (found.turn.n, found.turn.sure) == (1, True)


def test_a_gold_that_is_constant_is_refused_in_one_line() -> None:
    rm = ToyRewardModel()
    with pytest.raises(ConfigError, match="is constant") as caught:
        measure_selection(rm, Overlap(), [same(one) for one in pools(rm)], seed=0, progress=quiet)
    assert "\n" not in str(caught.value)


def same(one: Written) -> Written:
    return Written(key=one.key, group=one.group, prompt=one.prompt, reference="other words", responses=one.responses)


def test_too_few_prompts_or_samples_are_refused() -> None:
    rm = ToyRewardModel()
    with pytest.raises(ConfigError, match="too few for an interval"):
        measure_selection(rm, GoldReward(rm=rm), pools(rm, n_prompts=4), seed=0, progress=quiet)
    with pytest.raises(ConfigError, match="two samples or more"):
        measure_selection(rm, GoldReward(rm=rm), pools(rm, n=1), seed=0, progress=quiet)


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
    low = Criteria(**{**{f: getattr(CRITERIA, f) for f in CRITERIA.__dataclass_fields__}, "threshold": 3.0})
    rows = factual_findings(rm, judged, low, campaign_id="c", seed=0)
    found = [finding for _, finding in rows if finding is not None]
    assert len(found) == 10
    assert {(f.kind, f.split, f.attack_params["kind"]) for f in found} == {("factual", "held_out", "liked")}
    assert all(f.reward >= 3 and f.reward > (f.reference_reward or 0) for f in found)
    assert [attempt.outcome for attempt, _ in rows].count("found") == 10
    assert len({attempt.attempt_id for attempt, _ in rows}) == 20


def test_headline_figures_and_patches_leave_factual_findings_out() -> None:
    rm = ToyRewardModel()
    low = Criteria(**{**{f: getattr(CRITERIA, f) for f in CRITERIA.__dataclass_fields__}, "threshold": 3.0})
    train = [fact for fact in planted_facts(rm) if fact.kind == "liked"]
    rows = factual_findings(rm, judge_facts(rm, train), low, campaign_id="c", seed=0)
    findings = [finding for _, finding in rows if finding is not None]
    assert findings
    campaign: Any = SimpleNamespace(findings=lambda: findings)
    assert _nonsense(campaign) == []
    from dataclasses import replace

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
            rm, policy=None, prompts=(), plan=SamplePlan(n=2), gold=None,
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
