"""Several processes on one folder: every attempt is made, whoever dies, and nothing is counted twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from corpus import Corpus
from miner.errors import ConfigError
from miner.progress import Silent
from miner.searching.mining import _published, run_plans
from miner.searching.shards import WHOLE, Shard, shard_of
from scripts.drills import mining as drill

SLURM = {"SLURM_ARRAY_TASK_ID": "6", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "5"}
POD = {"JOB_COMPLETION_INDEX": "2"}


def rows(corpus: Corpus) -> dict[str, tuple[object, ...]]:
    return {one.attempt_id: (one.outcome, one.queries, one.finding_ids) for one in corpus.attempts()}


def mined(folder: Path, shard: Shard) -> int:
    driver, plans, corpus, config = drill.campaign(folder)
    return run_plans(driver, plans, corpus, config, Silent(), title="part", shard=shard).made


def test_shards_part_the_plans_and_the_last_one_to_end_finds_nothing_left(tmp_path: Path) -> None:
    _, plans, _, _ = drill.campaign(tmp_path / "none")
    owners = [
        [shard.index for shard in map(Shard, range(3), (3, 3, 3)) if shard.owns(plan.attempt_id)] for plan in plans
    ]
    assert all(len(owner) == 1 for owner in owners)
    assert len(plans) > 60
    assert {owner[0] for owner in owners} == {0, 1, 2}
    made = [mined(tmp_path / "shared", Shard(index, 3)) for index in range(3)]
    assert made[0] == len(plans)  # alone, it does the others' work after its own
    assert made[1:] == [0, 0]
    assert rows(Corpus(tmp_path / "shared")) == _whole(tmp_path)


def test_what_others_have_stored_meanwhile_is_not_made_again(tmp_path: Path) -> None:
    driver, plans, corpus, config = drill.campaign(tmp_path)
    shard = Shard(0, 2)
    theirs = [plan for plan in plans if not shard.owns(plan.attempt_id)]
    with corpus.writer() as writer:
        waves = shard.waves(plans, lambda plan: plan.attempt_id, _published(corpus, writer), size=4)
        assert next(waves) == [plan for plan in plans if shard.owns(plan.attempt_id)]
        (first, second) = next(waves), theirs[: len(theirs) // 2]
        assert len(first) == 4
        run_plans(driver, [*first, *second], corpus, config, Silent(), title="theirs")
        left = [plan.attempt_id for wave in waves for plan in wave]
    assert sorted(left) == sorted({one.attempt_id for one in theirs} - {one.attempt_id for one in (*first, *second)})


def _whole(tmp_path: Path) -> dict[str, tuple[object, ...]]:
    mined(tmp_path / "whole", WHOLE)
    return rows(Corpus(tmp_path / "whole"))


def test_processes_that_are_killed_lose_no_attempt_and_double_none(tmp_path: Path) -> None:
    """Three at once; one is killed in the middle, and what it had left the others do."""
    folder = tmp_path / "shared"
    command = [sys.executable, str(drill.ME), str(folder)]
    running = [subprocess.Popen([*command, f"{index}/3"]) for index in range(3)]
    deadline = time.monotonic() + 120
    while not (Corpus(folder).exists() and Corpus(folder).attempt_ids()) and time.monotonic() < deadline:
        time.sleep(0.02)
    running[0].send_signal(signal.SIGKILL)
    codes = [process.wait(timeout=240) for process in running]
    assert codes[1:] == [0, 0]
    corpus = Corpus(folder)
    assert rows(corpus) == _whole(tmp_path)
    stored = [one.attempt_id for one in corpus.attempts()]
    assert len(stored) == len(set(stored))


def test_what_a_shard_is_called() -> None:
    assert shard_of("1/4", {}) == Shard(1, 4)
    assert shard_of(None, {}) == WHOLE
    assert shard_of(None, SLURM) == Shard(1, 4)
    assert shard_of("8", SLURM) == Shard(1, 8)
    assert shard_of("8", POD) == Shard(2, 8)
    assert shard_of(None, POD) == WHOLE  # nobody says of how many


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("4/4", {}, r"part 4 of 4 is none; expected 0 to 3"),
        ("a/b", {}, r"expected i/n"),
        ("4", {}, r"which of the 4\? Give i/4; no SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX"),
        ("2", POD, "part 2 of 2 is none"),
        (None, {**SLURM, "SLURM_ARRAY_TASK_ID": "9"}, "the job array: part 4 of 4 is none"),
        ("0/0", {}, "part 0 of 0 is none"),
    ],
)
def test_a_shard_that_is_none_is_refused(text: str | None, environment: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        shard_of(text, environment)
