"""Three processes, each with a cache of its own, on a store that fails, delays, loses replies and lists late."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from corpus import Corpus, object_store, working_copy
from corpus.records import Attempt
from scripts.drills import mining as drill
from tests.scale import faulty_file_system as faulty


def made(corpus: Corpus) -> dict[str, Attempt]:
    return {one.attempt_id: replace(one, seconds=0.0) for one in corpus.attempts()}


def responses(corpus: Corpus) -> dict[str, tuple[str, float]]:
    return {one.finding_id: (one.response, round(one.reward, 9)) for one in corpus.findings()}


def worker(url: str, part: str, cache: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "RMMINER_CACHE": str(cache), "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, str(faulty.ME), url, part], env=environment)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder behind ``faulty://…``, read here without its faults."""
    faulty.register()
    for name in ("fails", "loses_reply", "delay_s", "late_s"):
        monkeypatch.setattr(faulty.FaultyFileSystem, name, 0.0)
    monkeypatch.setattr(working_copy, "_COPIES", {})
    return tmp_path / "bucket" / "run"


def test_three_workers_of_whom_one_is_killed_store_what_one_process_does(store: Path, tmp_path: Path) -> None:
    url = f"faulty://{store}"
    running = [worker(url, f"{index}/3", tmp_path / f"cache-{index}") for index in range(3)]
    deadline = time.monotonic() + 240
    while not list(store.glob("attempts/*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.02)
    running[0].send_signal(signal.SIGKILL)
    assert [process.wait(timeout=300) for process in running] == [-signal.SIGKILL, 0, 0]
    drill.mine(tmp_path / "whole")
    whole, shared = Corpus(tmp_path / "whole"), Corpus(url)
    assert made(shared) == made(whole)
    assert responses(shared) == responses(whole)
    assert len(shared.attempts()) == len(set(shared.attempt_ids()))
    assert all(report.ok for report in shared.verify())


def test_more_workers_than_attempts_leave_none_over(store: Path, tmp_path: Path) -> None:
    url = f"faulty://{store}"
    running = [worker(url, f"{index}/200", tmp_path / f"cache-{index}") for index in (0, 199)]
    assert [process.wait(timeout=300) for process in running] == [0, 0]
    drill.mine(tmp_path / "whole")
    assert made(Corpus(url)) == made(Corpus(tmp_path / "whole"))


def test_a_retried_put_is_one_segment(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reply is lost every time: the second try is told that the object exists."""
    monkeypatch.setattr(object_store, "PAUSES_S", (0.0,) * 3)
    monkeypatch.setattr(faulty.FaultyFileSystem, "loses_reply", 1.0)
    drill_corpus = Corpus(f"faulty://{store}")
    from scripts.drills import samples

    drill_corpus.append(samples.finding(1))
    assert len(list(store.glob("findings/*.parquet"))) == 1
    assert len(drill_corpus.findings()) == 1
