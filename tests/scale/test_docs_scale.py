"""The job scripts of docs/scale.md: what they run is run here, on models of the tests and a store in memory."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from corpus import working_copy
from corpus.working_copy import located
from miner.campaigns.run_folder import RunFolder
from tests.pages import ROOT, text_of

PAGE = text_of(ROOT / "docs/scale.md")
SMALL = ("--attack", "random", "--prompts", "4", "--budget", "64", "--set", "flush_seconds=0.5")


def job_scripts() -> list[list[str]]:
    return [shlex.split(line)[1:] for line in re.findall(r"^rmminer .*(?=\n```)", PAGE, re.MULTILINE)]


def here(arguments: list[str], rm: Path, data: Path) -> list[str]:
    """The same on what there is here; the job's LM is left out."""
    if "--reference-lm" in arguments:
        at = arguments.index("--reference-lm")
        arguments = arguments[:at] + arguments[at + 2 :]
    there = {"path/to/rm": str(rm), "preferences.jsonl": str(data), "s3://bucket/run": "memory://bucket/run"}
    return [there.get(one, one) for one in arguments]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec.filesystem("memory").store.clear()
    monkeypatch.setattr(working_copy, "_COPIES", {})


def test_the_array_script_shares_a_bucket(
    run: Callable[..., tuple[int, str, str]],
    tiny_rm_folder: Path,
    preference_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (line,) = (one for one in job_scripts() if "s3://bucket/run" in one)
    line = here(line, tiny_rm_folder, preference_file)
    made = []
    for index in ("1", "0"):
        for key, value in {"ID": index, "COUNT": "2", "MIN": "0"}.items():
            monkeypatch.setenv(f"SLURM_ARRAY_TASK_{key}", value)
        status, out, err = run(*line, *SMALL, "--json", "--quiet")
        assert status == 0, err
        made.append(json.loads(out)["made"])
    assert made == [4, 0]
    assert not Path("memory:").exists()
    status, out, err = run("corpus", "query", "memory://bucket/run", "select count(*) n from attempts", "--json")
    assert (status, json.loads(out)) == (0, [{"n": 4}]), err
    assert "memory://bucket/run" in err


def test_the_pods_of_the_indexed_job_share_a_folder(
    run: Callable[..., tuple[int, str, str]],
    tiny_rm_folder: Path,
    preference_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (listed,) = re.findall(r"args: (\[.*\])", PAGE)
    arguments = json.loads(listed)
    assert arguments[-2:] == ["--shard", re.search(r"completions: (\d+)", PAGE)[1]]  # type: ignore[index]
    config = tmp_path / "campaign.toml"
    config.write_text(
        f'out = "unused"\n[rm]\nsource = "{tiny_rm_folder}"\n[data]\nsource = "{preference_file}"\n', encoding="utf-8"
    )
    there = {"/config/campaign.toml": str(config), "/shared/run": str(tmp_path / "shared")}
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "15")
    status, out, err = run(*(there.get(one, one) for one in arguments), *SMALL, "--json")
    assert status == 0, err
    assert json.loads(out)["made"] == 4


@pytest.mark.parametrize("verb", ["mine", "evaluate", "bench", "triage", "overopt"])
def test_verbs_that_share_their_work_say_so(run: Callable[..., tuple[int, str, str]], verb: str) -> None:
    status, out, _ = run(verb, "--help")
    assert status == 0
    assert "--shard" in out


def test_a_report_is_written_beside_the_run_in_the_store(
    run: Callable[..., tuple[int, str, str]], tiny_rm_folder: Path, preference_file: Path
) -> None:
    line = ["evaluate", "--rm", tiny_rm_folder, "--data", preference_file, "--out", "memory://bucket/run"]
    status, _, err = run(*line, "--attack", "random", "--prompts", "8", "--budget", "64", "--json")
    assert status == 0, err
    status, out, err = run("report", "memory://bucket/run", "--no-attribution")
    assert status == 0, err
    assert out.strip().replace("\n", "") == "report: memory://bucket/run/report.html"
    folder = located("memory://bucket/run")
    assert RunFolder(folder).read_config().out == str(folder)
    stored = fsspec.filesystem("memory").ls("/bucket/run", detail=False)
    assert any(re.search(r"/report@00000001-[0-9a-f]{32}\.html$", one) for one in stored)
    assert any(re.search(r"/summary@0000000\d-[0-9a-f]{32}\.json$", one) for one in stored)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["corpus", "stats", "memory://nothing/here"], "no corpus at memory://nothing/here"),
        (
            ["corpus", "export", "memory://nothing/here", "memory://x/y"],
            "TARGET is a URL; expected a file or folder on this machine",
        ),
        (["report", "s3://key:secret@bucket/run"], "may not carry credentials"),
        (["mine", "--rm", "x", "--data", "y", "--out", "s3://key:secret@bucket/run"], "may not carry credentials"),
        (["report", "memory://nothing/here"], "memory://nothing/here is not a run's folder"),
    ],
)
def test_what_cannot_be_opened_is_one_line(
    run: Callable[..., tuple[int, str, str]], arguments: list[str], message: str
) -> None:
    status, _, err = run(*arguments)
    assert status == 2
    assert message in " ".join(err.split())
    assert "secret" not in err
    assert "Traceback" not in err
