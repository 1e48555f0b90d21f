"""The verbs of a campaign's stages in one process, from mining to the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from miner.cli.entry import app
from miner.config.campaign import parse_config
from miner.progress import Silent
from miner.worlds.opening import read_prompts

GIVEN = [
    "--set", "checks.names=['repetition','construction']", "--set", "checks.false_alarm=0.05",
    "--set", "data.fractions=[0.4,0.3,0.3]", "--set", "evaluate.prompts=8", "--set", "evaluate.budget_queries=40",
    "--set", "patch.steps=4", "--set", "patch.batch_pairs=4",
]  # fmt: skip


def called(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["--quiet", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def answer(*arguments: object) -> Any:
    return json.loads(called(*arguments, "--json"))


@pytest.fixture(scope="module")
def run(tiny_rm_folder: Path, preference_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which the train split was mined."""
    out = tmp_path_factory.mktemp("stages")
    given = ("--rm", tiny_rm_folder, "--data", preference_file, "--out", out, "--attack", "corrupt", *GIVEN)
    mined = answer("mine", *given, "--budget", 60, "--prompts", 8)
    assert (mined["made"], mined["skipped"]) == (8, 0)
    assert mined["found"] > 0
    return out


def test_a_run_is_patched_evaluated_and_reported_by_its_folder_alone(run: Path) -> None:
    patched = answer("patch", "--out", run)
    assert patched["model"] == str(run / "rounds" / "1" / "model")
    assert patched["report"]["findings"] > 0
    assert answer("patch", "--out", run) == patched
    left = patched["report"]["not_shown"]
    assert left > 0, "more were mined than 16 pairs have room for"
    said = f"patched on {patched['report']['findings']} findings ({left} more found no place in 4 steps) and "
    assert said in called("patch", "--out", run)
    summary = answer("evaluate", "--out", run, "--round", 1)
    assert [one["round"] for one in summary["rounds"]] == [1]
    assert {one["budget"] for one in summary["rounds"][0]["attacks"]} == {40}
    assert json.loads((run / "summary.json").read_text(encoding="utf-8")) == summary
    told = answer("report", run, "--dry-run")
    assert told["findings"] >= told["shown"] > 0
    assert Path(answer("report", run, "--no-attribution")["html"]) == run / "report.html"


def test_a_forecast_reads_the_run_and_leaves_it_as_it_is(run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    triage = answer("triage", run, "--dry-run")
    assert triage["findings"] > 0
    assert triage["queries_at_most"]["shrinking"] > 0
    tuned = ("--trials", 3, "--budget", 50, "--prompts", 4, "--set", "attacks=[{name='gcg'}]")
    (stage,) = answer("tune", "--out", run, *tuned, "--dry-run")["stages"]
    assert (stage["name"], stage["queries"]) == ("tune", (3 * 4 + 2 * 24) * 50)
    assert answer("corpus", "compact", run, "--dry-run")["segments_after"] >= 1
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_a_forecast_refuses_what_the_verb_would(run: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("something")
    for call, says in (
        (("evaluate", "--out", run, "--round", 7), "Patch first"),
        (("patch", "--out", run, "--round", 7), "Patch first"),
        (("tune", "--out", run, "--attack", "corrupt", "--prompts", 4), "declares no hyper-parameter"),
        (("corpus", "export", run, tmp_path), "exists already"),
    ):
        done = [CliRunner().invoke(app, ["--quiet", *map(str, call), *more]) for more in (["--dry-run"], [])]
        assert all(says in str(one.exception) for one in done), done


def test_a_cycle_in_which_nothing_ran_is_no_success(
    tiny_rm_folder: Path, preference_file: Path, tmp_path: Path, run_in_process: Callable[..., tuple[int, str, str]]
) -> None:
    """Every good answer to beat is too long for the RM; those that set the bar are not."""
    rows = [json.loads(line) for line in preference_file.read_text(encoding="utf-8").splitlines()]
    config = parse_config({"rm": {"source": "x"}, "data": {"source": str(preference_file)}}, {"out": "x"}, where="test")
    split_of = {prompt.conversation[-1].content: prompt.split for prompt in read_prompts(config, Silent())}
    for row in rows:
        if split_of[row["prompt"]] != "calibration":
            row["chosen"] = " ".join([row["chosen"]] * 200)
    data = tmp_path / "long.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    judged = ("--set", "checks.names=['repetition','construction']", "--set", "checks.false_alarm=0.05")
    given = ("--rm", tiny_rm_folder, "--data", data, "--attack", "corrupt", "--budget", 40, "--prompts", 8, *judged)
    status, out, said = run_in_process("--quiet", "cycle", *given, "--out", tmp_path / "run", "--json")
    assert (status, said.count("\n")) == (2, 1)
    assert "attempts ended in an error, so nothing was measured" in said
    assert json.loads(out)["rounds"]
    assert (tmp_path / "run" / "report.html").exists()
