"""A run's folder with several processes in it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from miner.campaigns.run_folder import RunFolder
from miner.config.campaign import parse_config, read_config
from miner.errors import ConfigError, DataError
from miner.patching.report import PatchReport


@dataclass(frozen=True, slots=True)
class Measured:
    value: float


def report(findings: int) -> PatchReport:
    return PatchReport(
        clean_pairs=4, findings=findings, without_reference=0, families=("random",), forms=("salad",), steps=2
    )


def test_what_is_measured_once_is_read_by_whoever_comes_later(tmp_path: Path) -> None:
    calls: list[float] = []

    def measured() -> Measured:
        calls.append(0.1 + 0.2)
        return Measured(calls[-1])

    first = RunFolder(tmp_path).once("bar", ["rm", 1], Measured, measured)
    assert RunFolder(tmp_path).once("bar", ["rm", 1], Measured, measured) == first == Measured(0.1 + 0.2)
    assert len(calls) == 1
    RunFolder(tmp_path).once("bar", ["another rm", 1], Measured, measured)
    assert len(calls) == 2


def test_of_two_that_measure_at_once_the_first_ones_counts_for_both(tmp_path: Path) -> None:
    def slower() -> Measured:
        assert RunFolder(tmp_path).once("bar", "rm", Measured, lambda: Measured(1.0)) == Measured(1.0)
        return Measured(1.0000001)

    assert RunFolder(tmp_path).once("bar", "rm", Measured, slower) == Measured(1.0)


def test_a_damaged_measurement_is_named_and_not_made_anew(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.once("bar", "rm", Measured, lambda: Measured(1.0))
    (stored,) = tmp_path.glob("calibration/bar-*/*")
    stored.write_text('{"value": ', encoding="utf-8")
    with pytest.raises(DataError, match=stored.name):
        run.once("bar", "rm", Measured, lambda: Measured(2.0))


def test_two_that_patch_one_round_share_no_folder_and_the_first_ones_model_stays(tmp_path: Path) -> None:
    run, places = RunFolder(tmp_path), []

    def filled(work: Path, text: str, findings: int) -> PatchReport:
        places.append(work)
        work.mkdir()
        (work / "weights").write_text(text, encoding="utf-8")
        return report(findings)

    def slower(work: Path) -> PatchReport:
        assert RunFolder(tmp_path).publish_patch(1, lambda other: filled(other, "first", 7)) == report(7)
        return filled(work, "second", 8)

    assert run.publish_patch(1, slower) == report(7)
    assert len(set(places)) == 2
    assert (run.model(1) / "weights").read_text(encoding="utf-8") == "first"
    assert run.patch_report(1) == report(7)
    assert run.rounds_present() == [0, 1]
    assert {path.name for path in run.round(1).iterdir()} == {"model", "patch.json"}


KILLED = """
import sys
from pathlib import Path
from miner.campaigns.run_folder import RunFolder

def work(folder):
    folder.mkdir()
    (folder / "checkpoint").write_text("half")
    print(folder, flush=True)
    sys.stdin.read()

RunFolder(Path(sys.argv[1])).publish_patch(1, work)
"""


def test_a_killed_patch_is_gone_on_from_and_a_living_ones_folder_left_alone(tmp_path: Path) -> None:
    seen: list[Path] = []

    def looked(work: Path) -> PatchReport:
        seen.append(work)
        raise KeyboardInterrupt

    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        place = Path(process.stdout.readline().strip())
        with pytest.raises(KeyboardInterrupt):
            RunFolder(tmp_path).publish_patch(1, looked)
        process.kill()

    def resumed(work: Path) -> PatchReport:
        seen.append(work)
        assert (work / "checkpoint").read_text(encoding="utf-8") == "half"
        return report(3)

    assert RunFolder(tmp_path).publish_patch(1, resumed) == report(3)
    assert seen[0] != place == seen[1]


def test_a_model_that_an_older_version_left_half_trained_is_replaced(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    (run.model(1) / "checkpoints-0").mkdir(parents=True)

    def trained(work: Path) -> PatchReport:
        work.mkdir()
        (work / "weights").write_text("whole", encoding="utf-8")
        return report(1)

    run.publish_patch(1, trained)
    assert {path.name for path in run.model(1).iterdir()} == {"weights", "patch.json"}


def test_a_moved_run_is_read_where_it_lies_and_another_spelling_is_the_same_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = parse_config({"data": {"world": "docs"}, "out": str(tmp_path / "run")}, where="test")
    run = RunFolder(tmp_path / "run")
    with pytest.raises(ConfigError, match="not a run's folder"):
        run.read_config()
    assert not run.holds(config)
    run.write_config(config)
    monkeypatch.chdir(tmp_path)
    assert RunFolder(Path("run")).holds(config.model_copy(update={"out": "run"}))
    assert not run.holds(config.model_copy(update={"seed": 1}))
    moved = RunFolder((tmp_path / "run").rename(tmp_path / "moved"))
    assert moved.read_config().out == str(tmp_path / "moved")
    assert moved.holds(moved.read_config()), "its file names the folder that it lies in"
    assert read_config(tmp_path / "moved" / "campaign.toml").out == str(tmp_path / "moved")
