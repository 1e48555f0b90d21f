"""``rmminer serve`` and mining against it, each in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from corpus import Corpus

Run = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = [sys.executable, "-c", "from miner.cli import main; main()"]


@pytest.fixture(scope="module")
def environment(cache: Path) -> dict[str, str]:
    paths = os.pathsep.join(path for path in sys.path if path)
    return {**os.environ, "RMMINER_CACHE": str(cache), "HF_HUB_OFFLINE": "1", "COLUMNS": "200", "PYTHONPATH": paths}


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Run:
    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [*COMMAND, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300)

    return call


@pytest.fixture(scope="module")
def url(tiny_rm_folder: Path, environment: dict[str, str]) -> Iterator[str]:
    command = [*COMMAND, "serve", str(tiny_rm_folder), "--port", "0", "--dtype", "float32", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        said = ""
        while not said.rstrip().endswith("}"):
            line = process.stdout.readline()
            assert line, said
            said += line
        yield json.loads(said)["url"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, "it ends as it should when told to"


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    error = done.stderr.strip().splitlines()[-1]
    assert error.startswith("rmminer: ")
    return error


def test_mining_a_served_rm_finds_and_stores(url: str, run: Run, preference_file: Path, tmp_path: Path) -> None:
    done = run(
        "mine", "--rm", url, "--data", preference_file, "--out", "run", "--attack", "corrupt", "--attack", "random",
        "--budget", "60", "--prompts", "6", "--set", "checks.names=['repetition','construction']",
        "--set", "checks.false_alarm=0.05", "--set", "data.fractions=[0.4,0.3,0.3]", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["made"], report["errors"]) == (12, 0)
    assert report["found"] > 0
    findings = Corpus(tmp_path / "run" / "corpus").findings()
    assert {finding.reward_dtype for finding in findings} == {"float32"}
    assert 'kind = "remote"' in (tmp_path / "run" / "campaign.toml").read_text()


def test_bad_input_is_one_line_and_status_2(
    url: str, run_here: Run, tiny_rm_folder: Path, preference_file: Path, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "--port" in one_line(run_here("serve", tiny_rm_folder, "--port", port))
    assert "--key-env" in one_line(run_here("serve", tiny_rm_folder, "--host", "0.0.0.0"))
    assert "never the key itself" in one_line(run_here("serve", tiny_rm_folder, "--key-env", "sk-secret"))
    assert "no model folder" in one_line(run_here("serve", tmp_path / "nowhere"))
    data = ("--data", preference_file, "--set", "rm.remote.retries=0")
    assert "cannot be reached" in one_line(run_here("mine", "--rm", f"http://127.0.0.1:{port}", *data))
    assert "only scores" in one_line(run_here("mine", "--rm", url, *data, "--attack", "gcg",
                                         "--set", "checks.names=['repetition']", "--set", "checks.quorum=1",
                                         "--set", "checks.false_alarm=0.1"))  # fmt: skip
    assert "Run it where the RM is" in one_line(run_here("doctor", url))
