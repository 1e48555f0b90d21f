"""People as gold: what their scores show of stored runs, without a model."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from corpus import Corpus
from miner.errors import DataError
from miner.measuring.overopt.curves import Curves
from miner.measuring.overopt.log import read_samples
from miner.measuring.overopt.onset import gold_onset
from miner.measuring.overopt.rows import NAN
from miner.measuring.overopt.summary import summarise_study
from miner.reporting.overopt_page import write_overopt_report
from scripts.drills import samples
from tests.measuring.overopt.scored_study import PROMPTS, STEPS, gaming_rows, invoke, score_all, stored_gold


def test_scores_give_the_onset_of_the_gold_they_were_copied_from(study: Path) -> None:
    people = score_all(study, stored_gold(study).get)
    own = summarise_study(study)
    found = summarise_study(study, people=people)
    assert [run.with_gold.games for run in found.runs] == [True, True]
    assert found.people is not None
    assert (found.people.n_answers, found.people.unmatched) == (2 * len(PROMPTS) * len(STEPS), 0)
    assert found.people.own_gold
    assert found.people.own_gold.value == pytest.approx(1)
    assert replace(found, people=None, notes=own.notes) == own


def test_partial_scores_use_whole_prompts_alone(study: Path) -> None:
    gold = stored_gold(study)
    whole = {prompt.prompt_id for prompt in PROMPTS[:10]}
    first = {(row.prompt_id, row.response) for row in gaming_rows(0) if row.step == 0}

    def some(key: tuple[str, str]) -> float | None:
        return gold[key] if key[0] in whole or key in first else None

    people = score_all(study, some)
    found = summarise_study(study, people=people)
    assert any(
        "rl-seed0, rl-seed1: gold is that of the 10 prompts" in note and "14 others" in note for note in found.notes
    )
    for run, seed in zip(found.runs, (0, 1), strict=True):
        alone = gold_onset(Curves([row for row in read_samples(study / f"rl-seed{seed}") if row.prompt_id in whole]))
        assert replace(run.with_gold, left_out=0) == alone
        assert run.fit is not None
        assert run.fit.n_prompts == 10
        assert {one.prompt_id for one in run.examples} <= whole
    assert found.runs[0].points[0].gold == pytest.approx(
        np.mean([row.gold for row in gaming_rows(0) if row.step == 0 and row.prompt_id in whole]), abs=1e-3
    )


def test_prompts_without_gold_have_no_say_in_the_onset() -> None:
    """Theirs, where they have any, would hide the fall: it rises where the others' falls."""
    whole = {prompt.prompt_id for prompt in PROMPTS[:12]}
    late = {0: NAN}
    rows = [
        row if row.prompt_id in whole else replace(row, gold=late.get(row.step, 5 - row.gold)) for row in gaming_rows(0)
    ]
    found = gold_onset(Curves(rows))
    assert found.games
    assert (found.n_prompts, found.left_out) == (12, 12)
    assert replace(found, left_out=0) == gold_onset(Curves([row for row in rows if row.prompt_id in whole]))


def test_too_few_whole_prompts_decide_nothing(study: Path) -> None:
    gold, seven = stored_gold(study), {prompt.prompt_id for prompt in PROMPTS[:7]}
    people = score_all(study, lambda key: gold[key] if key[0] in seven else None)
    found = summarise_study(study, people=people).runs[0]
    assert found.with_gold.games is None
    assert "only 7 of 24 prompts have gold at every measured step; 8 are needed" in found.with_gold.reason
    assert (found.fit, found.best_step) == (None, None)


def test_constant_scores_are_named(study: Path) -> None:
    people = score_all(study, lambda _: 3.0)
    assert any("gold is constant" in note for note in summarise_study(study, people=people).notes)


def test_scores_change_nothing_that_is_stored(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miner.reporting.overopt_page.FIGURES", {})  # they take seconds, and are drawn in the next test
    score_all(study, lambda _: 3.0)
    write_overopt_report(summarise_study(study))
    before = {path: path.read_bytes() for path in study.rglob("*") if path.is_file()}
    invoke(study)
    assert {path: path.read_bytes() for path in before} == before
    assert (study / "overopt-people.html").exists()
    assert (study / "summary-people.json").exists()


def test_scores_of_other_answers_are_counted_and_left_out(study: Path) -> None:
    people = score_all(study, stored_gold(study).get)
    shutil.rmtree(study / "rl-seed1")
    found = summarise_study(study, people=people)
    assert f"{len(PROMPTS) * len(STEPS)} scored answers are not among the stored ones, and count nothing" in found.notes


def test_several_peoples_scores_are_averaged_and_their_agreement_is_told(study: Path) -> None:
    gold = stored_gold(study)
    score_all(study, lambda key: round(10 * gold[key]))
    people = score_all(study, lambda key: round(10 * gold[key]) + 1, reviewer="Bob")
    assert people.of(*next(iter(gold))) == round(10 * gold[next(iter(gold))]) + 0.5
    scored = summarise_study(study, people=people).people
    assert scored
    assert scored.text.startswith("scores of 2 people for 576 answers to 24 prompts")
    assert scored.agreement
    assert 0.5 < scored.agreement.value < 0.9
    assert scored.own_gold
    assert scored.own_gold.n == len(gold)
    assert 0.85 < scored.own_gold.low <= scored.own_gold.value < scored.own_gold.high <= 1


def test_who_scores_at_random_does_not_rank_as_the_gold_does(study: Path) -> None:
    rng = np.random.default_rng(0)
    scored = summarise_study(study, people=score_all(study, lambda _: float(rng.integers(1, 6)))).people
    assert scored
    assert scored.agreement is None
    assert scored.own_gold
    assert scored.own_gold.low < 0 < scored.own_gold.high


def test_people_as_gold_need_no_model(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was made")

    monkeypatch.setattr(torch.nn.Module, "__init__", refuse)
    gold, eight = stored_gold(out / "overopt"), {prompt.prompt_id for prompt in PROMPTS[:8]}
    score_all(out / "overopt", lambda key: gold[key] if key[0] in eight else None)
    shown = invoke(out / "overopt").output
    assert f"gold: scores of one person for {2 * 8 * len(STEPS)} answers to 8 prompts" in shown
    page = (out / "overopt" / "overopt-people.html").read_text(encoding="utf-8")
    assert "Gold: scores of one person for 192 answers to 8 prompts" in page
    assert json.loads((out / "overopt" / "summary-people.json").read_text())["people"]["n_answers"] == 192


def test_what_cannot_be_gold_is_named(out: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nobody has scored answers of .*\. Have some scored as gold: rmminer review"):
        invoke(out / "overopt")
    score_all(out / "overopt", lambda _: None)
    with pytest.raises(DataError, match="nobody has scored"):
        invoke(out / "overopt")
    Corpus(out / "corpus").append(samples.review(mode="gold", verdict="4", score=4.0))
    with pytest.raises(DataError, match="none of the 1 answers that people scored is among the 576 stored ones"):
        invoke(out / "overopt")
    with pytest.raises(DataError, match="holds no measured answers"):
        invoke(tmp_path / "nowhere")
    assert not (out / "overopt" / "overopt-people.html").exists()
