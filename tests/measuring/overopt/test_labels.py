"""People as gold: what their scores show of stored runs, without a model."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from miner.errors import DataError
from miner.measuring.overopt.curves import Curves
from miner.measuring.overopt.labels import read_labels
from miner.measuring.overopt.log import read_samples
from miner.measuring.overopt.onset import gold_onset
from miner.measuring.overopt.rows import NAN
from miner.measuring.overopt.summary import summarise_study
from miner.reporting.overopt_page import write_overopt_report
from tests.measuring.overopt.labelled_study import PROMPTS, STEPS, gaming_rows, invoke, scored, stored_gold


def test_scores_give_the_onset_of_the_gold_they_were_copied_from(study: Path, tmp_path: Path) -> None:
    labels = read_labels(scored(tmp_path / "scores.csv", study, stored_gold(study).get))
    own = summarise_study(study)
    found = summarise_study(study, labels=labels)
    assert [run.with_gold.games for run in found.runs] == [True, True]
    assert found.labelled is not None
    assert (found.labelled.n_answers, found.labelled.unmatched) == (2 * len(PROMPTS) * len(STEPS), 0)
    assert replace(found, labelled=None) == own


def test_partial_labels_use_whole_prompts_alone(study: Path, tmp_path: Path) -> None:
    gold = stored_gold(study)
    whole = {prompt.prompt_id for prompt in PROMPTS[:10]}
    first = {(row.prompt_id, row.response) for row in gaming_rows(0) if row.step == 0}

    def some(key: tuple[str, str]) -> float | None:
        return gold[key] if key[0] in whole or key in first else None

    labels = read_labels(scored(tmp_path / "sheet.csv", study, some))
    found = summarise_study(study, labels=labels)
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


def test_too_few_whole_prompts_decide_nothing(study: Path, tmp_path: Path) -> None:
    gold, seven = stored_gold(study), {prompt.prompt_id for prompt in PROMPTS[:7]}
    labels = read_labels(scored(tmp_path / "s.csv", study, lambda key: gold[key] if key[0] in seven else None))
    found = summarise_study(study, labels=labels).runs[0]
    assert found.with_gold.games is None
    assert "only 7 of 24 prompts have gold at every measured step; 8 are needed" in found.with_gold.reason
    assert (found.fit, found.best_step) == (None, None)


def test_constant_labels_are_named(study: Path, tmp_path: Path) -> None:
    labels = read_labels(scored(tmp_path / "sheet.csv", study, lambda _: 3.0))
    assert any("gold is constant" in note for note in summarise_study(study, labels=labels).notes)


def test_labels_change_nothing_that_is_stored(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miner.reporting.overopt_page.FIGURES", {})  # they take seconds, and are drawn in the next test
    filled = scored(tmp_path / "scores.csv", study, lambda _: 3.0)
    write_overopt_report(summarise_study(study))
    before = {path: path.read_bytes() for path in study.rglob("*") if path.is_file()}
    invoke(study, filled)
    assert {path: path.read_bytes() for path in before} == before
    assert (study / "overopt-labels.html").exists()
    assert (study / "summary-labels.json").exists()


def test_labels_of_other_runs_are_counted_and_left_out(study: Path, tmp_path: Path) -> None:
    filled = scored(tmp_path / "scores.csv", study, stored_gold(study).get)
    shutil.rmtree(study / "rl-seed1")
    found = summarise_study(study, labels=read_labels(filled))
    assert (
        f"{len(PROMPTS) * len(STEPS)} labelled answers are not among the stored ones, and count nothing" in found.notes
    )


def test_several_scores_of_one_answer_are_averaged(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("labeller,prompt_id,response,score\nann,p,x,1\nbob,p,x,4\nbob,p,y,\n", encoding="utf-8-sig")
    assert read_labels(path).scores == {("p", "x"): 2.5}


def test_labels_need_no_model(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was made")

    monkeypatch.setattr(torch.nn.Module, "__init__", refuse)
    gold, eight = stored_gold(out / "overopt"), {prompt.prompt_id for prompt in PROMPTS[:8]}
    path = scored(tmp_path / "scores.csv", out / "overopt", lambda key: gold[key] if key[0] in eight else None)
    shown = invoke(out / "overopt", path).output
    assert f"gold: human labels of {2 * 8 * len(STEPS)} answers to 8 prompts" in shown
    page = (out / "overopt" / "overopt-labels.html").read_text(encoding="utf-8")
    assert "Gold: human labels of 192 answers to 8 prompts" in page
    assert json.loads((out / "overopt" / "summary-labels.json").read_text())["labelled"]["n_answers"] == 192


HEAD = "prompt_id,response,score\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read"),
        (b"", "no column 'prompt_id'"),
        (b"prompt_id,response\np,a\n", "no column 'score'"),
        (f"{HEAD}p,a,4\np,b,good\n".encode(), "line 3: score 'good' is no number"),
        (f"{HEAD}p,a,nan\n".encode(), "line 2: score 'nan' is no number"),
        (f"{HEAD}p,a,\n".encode(), "has no score"),
        (f"{HEAD}p,\xe9,4\n".encode("latin-1"), "cannot read .* UTF-8"),
        (f"{HEAD}p,a,4\n".encode(), "none of the 1 labelled answers is among the 576 stored ones"),
    ],
)
def test_labels_that_cannot_be_used_are_named(out: Path, tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "scores.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        invoke(out / "overopt", path)
    assert not (out / "overopt" / "overopt-labels.html").exists()
