"""What was measured in a campaign's folder, on the command line: where it is shown, and what a report leaves out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from miner.cli.diversity_tables import say_where_shown
from miner.cli.entry import app

pytestmark = pytest.mark.usefixtures("cache")


def test_a_report_names_what_it_leaves_out_and_is_written(
    tmp_path: Path, tiny_rm_folder: Path, preference_file: Path
) -> None:
    given = [
        "--rm", str(tiny_rm_folder), "--data", str(preference_file), "--out", str(tmp_path), "--attack", "corrupt",
        "--budget", "20", "--prompts", "8", "--device", "cpu", "--dtype", "float32", "--set",
        "checks.names=['repetition']", "--set", "checks.false_alarm=0.05", "--set", "data.fractions=[0.4,0.3,0.3]",
    ]  # fmt: skip
    done = CliRunner().invoke(app, ["evaluate", *given, "--json"])
    assert done.exit_code == 0, done.output
    (tmp_path / "gap").mkdir()
    damaged = tmp_path / "gap" / "gap.json"
    damaged.write_text('{"selection": ', encoding="utf-8")
    done = CliRunner().invoke(app, ["report", str(tmp_path), "--no-attribution"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "report.html").exists()
    assert [line for line in done.stderr.splitlines() if line.startswith(f"{damaged} is not a gap report")]
    told = CliRunner().invoke(app, ["report", str(tmp_path), "--no-attribution", "--json"])
    assert str(damaged) in json.loads(told.stdout)["left_out"][0]


def test_a_measurement_in_a_campaigns_folder_says_who_shows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    say_where_shown(tmp_path / "gap" / "gap.html")
    assert capsys.readouterr().out == ""
    (tmp_path / "campaign.toml").touch()
    say_where_shown(tmp_path / "gap" / "gap.html")
    assert capsys.readouterr().out == f"in the campaign's report, too: rmminer report {tmp_path}\n"
