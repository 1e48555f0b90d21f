"""What people are asked to judge: stored answers, blind, of whole prompts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from miner.errors import ConfigError, DataError, RmMinerError
from miner.measuring.overopt.label_files import answer_key
from miner.measuring.overopt.label_sheet import label_sheet
from miner.measuring.overopt.log import read_samples
from miner.measuring.overopt.prompts import ASKED, read_asked
from miner.measuring.overopt.rl import RlRun
from tests.measuring.overopt.labelled_study import PROMPTS, STEPS, cells, invoke, sheet, store, stored_gold


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_sheet_is_blind_and_covers_whole_prompts(study: Path, tmp_path: Path, suffix: str) -> None:
    rows = cells(sheet(study, tmp_path / f"sheet{suffix}", 9))
    assert {frozenset(row) for row in rows} == {frozenset({"prompt", "prompt_id", "response", "score"})}
    assert {row["score"] for row in rows} <= {"", None}
    texts = {prompt.prompt_id: prompt.conversation[0].content for prompt in PROMPTS}
    assert all(row["prompt"] == texts[row["prompt_id"]] for row in rows)
    chosen = {row["prompt_id"] for row in rows}
    assert len(chosen) == 9
    asked = {key for key in stored_gold(study) if key[0] in chosen}
    assert {answer_key(row["prompt_id"], row["response"]) for row in rows} == asked
    assert len(asked) == len(rows) == 2 * 9 * len(STEPS)


def test_the_order_of_a_sheet_says_nothing_of_steps(study: Path, tmp_path: Path) -> None:
    from scipy.stats import kendalltau

    steps = [int(row["response"].split()[-1].strip('"')) for row in cells(sheet(study, tmp_path / "sheet.jsonl"))]
    assert abs(kendalltau(steps, range(len(steps))).statistic) < 0.1


def test_an_answer_given_twice_is_asked_once(study: Path) -> None:
    run = study / "rl-seed0"
    store(run, [replace(row, response="the the the") for row in read_samples(run)])
    rows = label_sheet(study).rows
    assert sum(row.response == "the the the" for row in rows) == len(PROMPTS)


def test_a_smaller_sheet_is_part_of_a_larger(study: Path) -> None:
    small, large = (set(label_sheet(study, n_prompts=n).rows) for n in (8, 12))
    assert small < large


def test_runs_measured_on_different_prompts_share_some_in_the_sheet(study: Path) -> None:
    run = study / "rl-seed1"
    known = {prompt.prompt_id for prompt in PROMPTS[:10]}
    store(run, [row for row in read_samples(run) if row.prompt_id in known])
    assert {row.prompt_id for row in label_sheet(study).rows} == known


def test_no_cell_of_a_csv_sheet_is_a_formula(study: Path, tmp_path: Path) -> None:
    rows = cells(sheet(study, tmp_path / "sheet.csv"))
    assert rows
    for row in rows:
        assert not any(value.lstrip()[:1] in {"=", "+", "-", "@"} or "\n" in value for value in row.values())


def test_the_campaign_file_says_where_the_runs_lie(out: Path, tmp_path: Path) -> None:
    file = tmp_path / "campaign.toml"
    file.write_text(f"out = {json.dumps(str(out))}\ndata.world = 'docs'\n")
    counted = json.loads(invoke(file, "--label-sheet", tmp_path / "s.csv", "--dry-run", "--json").stdout)
    assert (counted["answers"], counted["sheet"]) == (2 * len(PROMPTS) * len(STEPS), None)
    assert not (tmp_path / "s.csv").exists()


def test_a_sheet_that_exists_is_never_overwritten(out: Path, tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    path.write_text("hours of work")
    with pytest.raises(ConfigError, match="exists already"):
        invoke("--out", out, "--label-sheet", path)
    assert path.read_text() == "hours of work"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--label-sheet", "s.xlsx"), ".csv or .jsonl"),
        (("--label-sheet", "s.csv", "--label-prompts", 7), "8 are needed"),
        (("--label-sheet", "s.csv", "--label-prompts", 25), "share 24 prompts; 25 were asked for"),
        (("--label-sheet", "s.csv", "--labels", "t.csv"), "give one of the two"),
        (("--label-prompts", 8), "give --label-sheet"),
        (("--label-sheet", "s.csv", "--against", "other"), "leave one out"),
        (("--labels", "t.csv", "--dry-run"), "leave --dry-run out"),
        (("--label-sheet", "s.csv", "--round", 1), "overopt-round1 holds no measured answers"),
    ],
)
def test_options_that_cannot_be_met_are_refused(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[object, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RmMinerError, match=message):
        invoke("--out", out, *options)
    assert not list(tmp_path.glob("s.*"))


def test_without_a_folder_the_fix_is_named() -> None:
    with pytest.raises(ConfigError, match="--out FOLDER"):
        invoke("--label-sheet", "s.csv")


def test_runs_that_share_no_prompt_are_named(study: Path) -> None:
    halves = {"rl-seed0": PROMPTS[:12], "rl-seed1": PROMPTS[12:]}
    for name, prompts in halves.items():
        known = {prompt.prompt_id for prompt in prompts}
        store(study / name, [row for row in read_samples(study / name) if row.prompt_id in known])
    with pytest.raises(DataError, match="share none"):
        label_sheet(study)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_run_stores_the_prompts_it_was_measured_on(
    toy_run: Callable[..., RlRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = toy_run(name="overopt/rl", steps=2)
    run.run()
    assert read_asked(run.folder) == {one.prompt_id: one.conversation for one in run.examination.prompts}
    rows = label_sheet(tmp_path / "overopt").rows
    assert (
        {row.response for row in rows}
        == {row.response.strip() for row in rows}
        == {row.response for row in read_samples(run.folder)}
    )
    (run.folder / ASKED).unlink()
    with pytest.raises(DataError, match="older version"):
        label_sheet(tmp_path / "overopt")
    monkeypatch.setattr(RlRun, "_train", None)
    run.run()
    assert label_sheet(tmp_path / "overopt").rows == rows


def test_stored_prompts_that_cannot_be_read_are_named(study: Path) -> None:
    (study / "rl-seed0" / ASKED).write_text('{"prompt_id": "p"}\n')
    with pytest.raises(DataError, match=r"cannot read .*prompts\.jsonl"):
        label_sheet(study)
