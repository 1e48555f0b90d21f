"""Kills while people answer: whatever was acknowledged is in the corpus, once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx2
import pytest

from corpus import Corpus
from miner.judging.reviews import standing
from scripts.drills import samples
from tests.pages import ROOT
from tests.reviewing.conftest import item_in, value_of

KILLS = int(os.environ.get("RMMINER_REVIEW_KILLS", "3"))  # 50 were run: docs/review.md
START = "import sys; from miner.cli import main; sys.argv[0] = 'rmminer'; main()"


def _started(run: Path, *, errors: int | None = None) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-c", START, "review", str(run), "--port", "0", "--n", "100000", "--json", "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT)
    assert process.stdout
    text = "".join(iter(process.stdout.readline, "}\n")) + "}"
    return process, str(json.loads(text)["url"])


def _answer_until_it_dies(process: subprocess.Popen[str], url: str, rng: random.Random, reviewer: str) -> list[str]:
    """The items whose answers were acknowledged before the server was killed in the middle of one."""
    origin, last = url.split("/?")[0], rng.randint(1, 5)
    acknowledged: list[str] = []
    with httpx2.Client(base_url=origin, trust_env=False, timeout=30, follow_redirects=True) as client:
        client.get(url)
        html = client.get(f"/review/verdicts?reviewer={reviewer}").text
        try:
            while item := item_in(html):
                if len(acknowledged) == last:
                    threading.Timer(rng.uniform(0, 0.06), process.kill).start()
                values = {"reviewer": reviewer, "item": item, "verdict": "nonsense"}
                values["showing"] = value_of("showing", html)
                reply = client.post("/review/verdicts", data=values, headers={"origin": origin, "x-fragment": "1"})
                reply.raise_for_status()
                acknowledged.append(item)
                html = reply.text
        except httpx2.TransportError:
            pass
    process.wait(30)
    return acknowledged


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_nothing_that_was_acknowledged_is_lost_to_a_kill(run_folder: Path) -> None:
    rng = random.Random(0)
    acknowledged: list[str] = []
    for kill in range(KILLS):
        process, url = _started(run_folder)
        try:
            acknowledged += _answer_until_it_dies(process, url, rng, f"Ann {kill // 5}")
        finally:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()
        assert process.returncode == -signal.SIGKILL
    corpus = Corpus(run_folder / "corpus")
    assert all(report.ok for report in corpus.verify())
    stored = [one.item_id for one in standing(corpus.reviews(), "verdicts")]
    assert len(acknowledged) >= KILLS
    assert not set(acknowledged) - set(stored)
    assert len(corpus.reviews()) == len(stored)
    assert len(stored) - len(acknowledged) <= KILLS  # at most the one under way each time


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT there")
def test_ctrl_c_puts_the_answers_together_and_says_so(run_folder: Path) -> None:
    Corpus(run_folder / "corpus").append(samples.review(0))
    Corpus(run_folder / "corpus").append(samples.review(1))
    segments = run_folder / "corpus" / "reviews"
    assert len(list(segments.glob("*.parquet"))) == 2
    process, url = _started(run_folder, errors=subprocess.PIPE)
    assert httpx2.get(url, trust_env=False, timeout=30, follow_redirects=True).status_code == 200, "it listens"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, len(list(segments.glob("*.parquet")))) == (0, 1)
    assert said.strip() == "ended; what was answered is stored. The same command goes on from there"
    assert [one.review_id for one in Corpus(run_folder / "corpus").reviews()] == ["review-0", "review-1"]


def test_a_port_in_use_is_one_line(run_folder: Path) -> None:
    first, url = _started(run_folder)
    try:
        port = url.split("/?")[0].rpartition(":")[2]
        command = [sys.executable, "-c", START, "review", str(run_folder), "--port", port, "--quiet"]
        second = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    finally:
        first.terminate()
        ended = first.wait(60)
        if first.stdout:
            first.stdout.close()
    assert second.returncode == 2
    assert second.stderr.startswith(f"rmminer: cannot listen on 127.0.0.1:{port}: Address already in use. Name another")
    assert second.stderr.count("\n") == 1
    assert ended in (0, -signal.SIGTERM)
