"""What a user is told while a verb runs: on stderr, wherever that goes, and never in the way of the results."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.main import get_command

from miner.cli.entry import app

Run = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = [sys.executable, "-c", "from miner.cli import main; main()"]
UNTIL_HEAVY = """
import sys
def stop(event, details):
    if event == "import" and details[0] in {"numpy", "torch", "transformers", "pyarrow", "datasets"}:
        raise SystemExit(f"heavy: {details[0]}")
sys.addaudithook(stop)
from miner.cli import main
main()
"""
GIVEN = {  # what each verb needs to get past its arguments
    "data": ["nowhere"], "doctor": ["nowhere"], "overopt-people": ["nowhere"], "bench": ["nowhere"],
    "triage": ["nowhere"], "report": ["nowhere"], "review": ["nowhere"], "serve": ["nowhere"],
    "corpus stats": ["nowhere"],
    "corpus query": ["nowhere", "select 1"], "corpus export": ["nowhere", "there"],
    "corpus import": ["nowhere", "there"], "corpus compact": ["nowhere"], "corpus verify": ["nowhere"],
}  # fmt: skip


def verbs() -> list[str]:
    """Of all there are, those of ``corpus`` too."""
    found = []
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        found += [f"{name} {below}" for below in getattr(command, "commands", ())] or [name]
    return found


@pytest.fixture(scope="module")
def environment(cache: Path) -> dict[str, str]:
    paths = os.pathsep.join(path for path in sys.path if path)
    return {**os.environ, "RMMINER_CACHE": str(cache), "HF_HUB_OFFLINE": "1", "COLUMNS": "200", "PYTHONPATH": paths}


@pytest.fixture(scope="module")
def run(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("here")

    def call(*arguments: object, code: str = COMMAND[2], **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            capture_output=True, text=True, env=environment | more, cwd=folder, timeout=900,
        )  # fmt: skip

    return call


@pytest.fixture(scope="module")
def given(tiny_rm_folder: Path, preference_file: Path) -> list[str]:
    return [
        "--rm", str(tiny_rm_folder), "--data", str(preference_file), "--attack", "corrupt", "--budget", "60",
        "--prompts", "8", "--dtype", "float32", "--device", "cpu",
        "--set", "checks.names=['repetition','construction']", "--set", "checks.false_alarm=0.05",
        "--set", "data.fractions=[0.4,0.3,0.3]",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mined")


@pytest.fixture(scope="module")
def mined(run: Run, given: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """What `mine --json` said, its stderr no terminal; `folder` is its run's."""
    return run("mine", *given, "--out", folder, "--json")


@pytest.mark.parametrize("verb", verbs())
def test_a_verb_says_what_it_is_before_anything_heavy_is_loaded(run: Run, verb: str) -> None:
    done = run(*verb.split(), *GIVEN.get(verb, []), code=UNTIL_HEAVY)
    first, *_ = done.stderr.splitlines() or [""]
    assert re.match(rf"rmminer \d\S* {verb}\b", first), done.stderr
    assert not GIVEN.get(verb) or "nowhere" in first


@pytest.mark.parametrize("option", ["--quiet", "--json"])
@pytest.mark.parametrize("verb", verbs())
def test_every_verb_can_be_quiet_and_answer_in_json(verb: str, option: str) -> None:
    command = get_command(app)
    for name in verb.split():
        command = command.commands[name]  # type: ignore[attr-defined]
    assert option in {name for one in command.params for name in one.opts}


def test_in_a_file_every_stage_begins_and_ends_and_the_first_finding_is_whole(
    mined: subprocess.CompletedProcess[str],
) -> None:
    assert mined.returncode == 0, mined.stderr
    assert json.loads(mined.stdout)["found"] > 1
    lines = mined.stderr.splitlines()
    begun = [match[1] for line in lines if (match := re.fullmatch(r"\[\d+:\d\d\] (.*): begins", line))]
    ended = [match[1] for line in lines if (match := re.match(r"\[\d+:\d\d\] (.*): done\b", line))]
    assert {"reading the data", "calibrating the checks", "round 0: mining"} <= set(begun)
    assert sorted([*begun, "mine"]) == sorted(ended)
    (first,) = [line for line in lines if "first finding" in line]
    assert re.match(r"\[\d+:\d\d\] first finding: corrupt reward .*, asked 'What does `", first)
    assert not any("…" in line for line in lines if "finding" in line), "nothing of it is cut off"
    assert re.search(r"round 0: mining: done, 8 of 8 in \d+:\d\d; \d+ found", mined.stderr)


def test_a_quiet_verb_says_its_result_alone(run: Run, given: list[str], tmp_path: Path) -> None:
    done = run("mine", *given, "--out", tmp_path, "--quiet")
    assert done.returncode == 0, done.stderr
    assert not re.search(r"^(\[\d|rmminer)|finding", done.stderr, re.MULTILINE), "libraries may grumble, we say nothing"
    assert re.match(r"[1-9]\d* findings in \d+ attempts", done.stdout)
    for wrong in (run("report", "nowhere", "--quiet"), run("--quiet", "report", "nowhere")):
        assert wrong.returncode == 2
        assert wrong.stderr.startswith("rmminer: nowhere is not a run's folder")


def test_a_reader_of_the_progress_that_goes_away_costs_the_run_nothing(
    environment: dict[str, str], given: list[str], tmp_path: Path
) -> None:
    with subprocess.Popen(
        [*COMMAND, "mine", *given, "--out", str(tmp_path), "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline()
        process.stderr.close()
        told = process.stdout.read()
        assert process.wait(900) == 0
    assert json.loads(told)["found"] > 0


@pytest.mark.usefixtures("mined")
def test_a_closed_stderr_costs_the_run_nothing(environment: dict[str, str], given: list[str], folder: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", '"$@" 2>&-', "sh", *COMMAND, "mine", *given, "--out", str(folder), "--json"],
        stdout=subprocess.PIPE, text=True, env=environment, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0
    assert json.loads(done.stdout)["skipped"] == 8


@pytest.mark.usefixtures("mined")
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_reader_of_the_results_that_goes_away_gets_no_traceback(
    environment: dict[str, str], folder: Path, form: tuple[str, ...]
) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [*COMMAND, "corpus", "verify", str(folder), "--quiet", *form]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, env=environment)
    os.close(write)
    assert done.returncode == 1
    assert done.stderr == b""


@pytest.mark.usefixtures("mined")
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_characters_that_the_console_lacks_are_spelled_out(run: Run, folder: Path, encoding: str) -> None:
    done = run("corpus", "query", folder, "select '≥ 語 is shown' as t", PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert ">= \\u8a9e is shown" in done.stdout
    wrong = run("report", "語", PYTHONIOENCODING=encoding)
    assert wrong.returncode == 2
    assert "\\u8a9e is not a run's folder" in wrong.stderr


@pytest.mark.usefixtures("mined")
def test_whatever_takes_long_is_a_stage_of_its_own(run: Run, given: list[str], folder: Path) -> None:
    done = run("evaluate", *given, "--out", folder, "--set", "evaluate.reach=4")
    assert done.returncode == 0, done.stderr
    ended = re.findall(r"^\[\d+:\d\d\] (.*): done, (.*)$", done.stderr, re.MULTILINE)
    assert [name for name, _ in ended] == [
        "reading the data",
        "round 0: loading the reward model, hashing its weights",
        "calibrating the checks",  # read, with the bar, from what mining has measured
        "round 0: attacking held-out prompts",
        "round 0: clean accuracy",
        "round 0: reach of the findings",
        "measuring the checks",
        "figures of every round, and which findings win in it",
        "evaluate",
    ]
    of_all = {name: re.match(r"(\d+) of (\d+) in ", how_far) for name, how_far in ended}
    loading = "round 0: loading the reward model, hashing its weights"
    without = {"reading the data", loading, "calibrating the checks", "evaluate"}
    assert {name for name, counted in of_all.items() if counted is None} == without
    assert all(counted[1] == counted[2] != "0" for counted in of_all.values() if counted)
    report = run("report", folder, "--no-attribution")
    assert "] writing the report: done" in report.stderr
