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
from miner.measuring.overopt.accuracy import judge_run
from miner.measuring.overopt.curves import Curves
from miner.measuring.overopt.detector import Detector
from miner.measuring.overopt.label_files import answer_key, read_label_file
from miner.measuring.overopt.labels import agreement, read_labels
from miner.measuring.overopt.log import read_samples
from miner.measuring.overopt.measuring import NAN
from miner.measuring.overopt.onset import gold_onset
from miner.measuring.overopt.summary import summarise_study
from miner.reporting.overopt_page import write_overopt_report
from tests.measuring.overopt.labelled_study import PROMPTS, STEPS, fill, gaming_rows, invoke, sheet, stored_gold


@pytest.mark.parametrize(
    ("suffix", "dialect"), [(".csv", {}), (".csv", {"delimiter": ";"}), (".csv", {"delimiter": "\t"}), (".jsonl", {})]
)
def test_a_filled_sheet_gives_the_onset_of_the_gold_it_was_copied_from(
    study: Path, tmp_path: Path, suffix: str, dialect: dict[str, str]
) -> None:
    filled = fill(sheet(study, tmp_path / f"sheet{suffix}"), stored_gold(study).get, **dialect)
    own = summarise_study(study)
    found = summarise_study(study, labels=read_labels([filled]))
    assert [run.with_gold.games for run in found.runs] == [True, True]
    assert replace(found, labelled=None) == own


def test_quotes_that_a_spreadsheet_drops_are_not_missed(study: Path, tmp_path: Path) -> None:
    path = fill(sheet(study, tmp_path / "sheet.csv"), stored_gold(study).get)
    assert "\"'=1+1" in path.read_text(encoding="utf-8")
    path.write_text(path.read_text(encoding="utf-8").replace("\"'", '"'), encoding="utf-8")
    labelled = summarise_study(study, labels=read_labels([path])).labelled
    assert labelled is not None
    assert (labelled.n_answers, labelled.unmatched) == (2 * len(PROMPTS) * len(STEPS), 0)


def test_partial_labels_use_whole_prompts_alone(study: Path, tmp_path: Path) -> None:
    gold = stored_gold(study)
    whole = {prompt.prompt_id for prompt in PROMPTS[:10]}
    first = {answer_key(row.prompt_id, row.response) for row in gaming_rows(0) if row.step == 0}

    def some(key: tuple[str, str]) -> float | None:
        return gold[key] if key[0] in whole or key in first else None

    labels = read_labels([fill(sheet(study, tmp_path / "sheet.csv"), some)])
    found = summarise_study(study, labels=labels)
    assert any(
        "rl-seed0, rl-seed1: gold is told on the 10 prompts" in note and "14 others" in note for note in found.notes
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


def test_prompts_without_gold_have_no_say_in_the_gap() -> None:
    """Their proxy would hide the run's: it falls where the others' climbs."""
    whole = {prompt.prompt_id for prompt in PROMPTS[:12]}
    rows = [row if row.prompt_id in whole else replace(row, proxy=-5 * row.proxy, gold=NAN) for row in gaming_rows(0)]
    found = gold_onset(Curves(rows))
    assert found.games
    assert (found.n_prompts, found.left_out) == (12, 12)
    assert replace(found, left_out=0) == gold_onset(Curves([row for row in rows if row.prompt_id in whole]))


def test_the_collapse_is_told_on_the_same_prompts() -> None:
    whole = {prompt.prompt_id for prompt in PROMPTS[:12]}
    late = [replace(row, gold=99.0 if row.step == 40 else NAN) for row in gaming_rows(0)]
    rows = [row if row.prompt_id in whole else late[at] for at, row in enumerate(gaming_rows(0))]
    found, alone = (
        judge_run("run", Curves(some), Detector()).collapse_step
        for some in (rows, [row for row in rows if row.prompt_id in whole])
    )
    assert found is not None
    assert found == alone


def test_too_few_whole_prompts_decide_nothing(study: Path, tmp_path: Path) -> None:
    gold, seven = stored_gold(study), {prompt.prompt_id for prompt in PROMPTS[:7]}
    labels = read_labels([fill(sheet(study, tmp_path / "s.csv"), lambda key: gold[key] if key[0] in seven else None)])
    found = summarise_study(study, labels=labels).runs[0]
    assert found.with_gold.games is None
    assert "only 7 of 24 prompts have gold at every measured step; 8 are needed" in found.with_gold.reason
    assert (found.fit, found.best_step) == (None, None)


def test_constant_labels_are_named(study: Path, tmp_path: Path) -> None:
    labels = read_labels([fill(sheet(study, tmp_path / "sheet.csv"), lambda _: 3.0)])
    assert any("gold is constant" in note for note in summarise_study(study, labels=labels).notes)


def test_labels_change_nothing_that_is_stored(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miner.reporting.overopt_page.FIGURES", {})  # they take seconds, and are drawn in the next test
    filled = fill(sheet(study, tmp_path / "sheet.csv"), lambda _: 3.0)
    write_overopt_report(summarise_study(study))
    before = {path: path.read_bytes() for path in study.rglob("*") if path.is_file()}
    invoke("--out", study.parent, "--labels", filled)
    assert {path: path.read_bytes() for path in before} == before
    assert (study / "overopt-labels.html").exists()
    assert (study / "summary-labels.json").exists()


def test_sheet_and_analysis_need_no_model(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was made")

    monkeypatch.setattr(torch.nn.Module, "__init__", refuse)
    path = tmp_path / "new" / "sheet.csv"
    made = json.loads(invoke("--out", out, "--label-sheet", path, "--label-prompts", 8, "--json").stdout)
    assert made == {"answers": 2 * 8 * len(STEPS), "prompts": 8, "runs": 2, "sheet": str(path)}
    fill(path, stored_gold(out / "overopt").get)
    shown = invoke("--out", out, "--labels", path).output
    assert f"gold: human labels of {2 * 8 * len(STEPS)} answers to 8 prompts, by one labeller" in shown
    page = (out / "overopt" / "overopt-labels.html").read_text(encoding="utf-8")
    assert "Gold: human labels of 192 answers to 8 prompts" in page
    assert json.loads((out / "overopt" / "summary-labels.json").read_text())["labelled"]["n_answers"] == 192


def test_several_labellers_are_averaged_and_their_agreement_told(study: Path, tmp_path: Path) -> None:
    gold = stored_gold(study)
    first = fill(sheet(study, tmp_path / "first.csv"), gold.get)
    second = fill(sheet(study, tmp_path / "second.jsonl"), lambda key: gold[key] + 1)
    labels = read_labels([first, second])
    key = next(iter(gold))
    assert labels.scores[key] == pytest.approx(gold[key] + 0.5)
    labelled = summarise_study(study, labels=labels).labelled
    assert labelled is not None
    assert labelled.agreement is not None
    assert (labelled.n_labellers, labelled.agreement.n_answers) == (2, len(gold))
    assert labelled.agreement.tau == pytest.approx(1)
    assert "by 2 labellers; Kendall's τ-b 1.00 on 576 answers shared" in labelled.text


def test_agreement_is_counted_only_where_it_can_be_told() -> None:
    keys = [("p", str(n)) for n in range(10)]
    up = {key: float(n) for n, key in enumerate(keys)}
    down = {key: -value for key, value in up.items()}
    found = agreement({"a": up, "b": down, "c": dict.fromkeys(keys, 3.0), "d": {keys[0]: 1.0}})
    assert found is not None
    assert (found.tau, found.n_pairs, found.n_answers) == (pytest.approx(-1), 1, 10)
    assert agreement({"a": up}) is None
    assert agreement({"a": up, "d": dict(list(up.items())[:7])}) is None


def test_one_file_may_hold_several_labellers(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    given = [("ann", 1), ("bob", 5), ("bob", "3"), ("", 9)]
    rows = [{"prompt_id": "p", "response": "x", "labeller": who, "score": score} for who, score in given]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    labels = read_labels([path])
    assert {who: list(scores.values()) for who, scores in labels.by_labeller.items()} == {
        "ann": [1], "bob": [4], str(path): [9],
    }  # fmt: skip
    assert labels.scores == {("p", "x"): pytest.approx((1 + 4 + 9) / 3)}


HEAD = "prompt,response,score,prompt_id\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "none of its 0 rows has a score"),
        (b"prompt,response,prompt_id\nq,a,p\n", "line 2: no column 'score' among prompt, response, prompt_id"),
        (f"{HEAD}q,a,4,p\nq,b,good,p\n".encode(), "line 3: score 'good' is no number"),
        (f"{HEAD}q,a,nan,p\n".encode(), "line 2: score 'nan' is no number"),
        (f"{HEAD}q,a,,p\n".encode(), "none of its 1 rows has a score"),
        (f"{HEAD}q,a,4\n".encode(), "line 2: prompt_id is None"),
        (f"{HEAD}q,\xe9,4,p\n".encode("latin-1"), "not UTF-8"),
        (f"{HEAD}q,a,4,p\n".encode(), "none of the 1 labelled answers is among the 576 stored ones"),
    ],
)
def test_a_sheet_that_cannot_be_used_is_named(out: Path, tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "sheet.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        invoke("--out", out, "--labels", path)
    assert not (out / "overopt" / "overopt-labels.html").exists()


def test_json_lines_are_named_too(tmp_path: Path) -> None:
    path = tmp_path / "sheet.jsonl"
    path.write_text(
        '{"prompt_id": "p", "response": "x", "score": 1}\n{"prompt_id": "p", "response": "x", "score": true}\n'
    )
    with pytest.raises(DataError, match="line 2: score True is no number"):
        read_label_file(path)


def test_labels_of_other_runs_are_counted_and_left_out(study: Path, tmp_path: Path) -> None:
    filled = fill(sheet(study, tmp_path / "sheet.jsonl"), stored_gold(study).get)
    shutil.rmtree(study / "rl-seed1")
    found = summarise_study(study, labels=read_labels([filled]))
    assert (
        f"{len(PROMPTS) * len(STEPS)} labelled answers are not among the stored ones, and count nothing" in found.notes
    )
