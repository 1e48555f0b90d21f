"""``rmminer data``: what was recognised, some prompts, what was left out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from miner.cli.entry import app
from miner.errors import DataError


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rows = [{"prompt": f"question {n}", "chosen": f"good {n}", "rejected": f"bad\x1b[31m {n}"} for n in range(40)]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {**rows[0], "chosen": " "}]))
    return path


def test_it_shows_the_layout_prompts_and_what_was_left_out(pairs: Path) -> None:
    done = CliRunner().invoke(app, ["data", str(pairs)])
    assert done.exit_code == 0, done.output
    for part in ("read as: TRL pairs", "rows: 41, of which 40 used and 1 left out", "1 × the prompt or a response",
                 "line 41", "question 0", "good answer: good 2", "prompts: 40, 40 with a good answer"):  # fmt: skip
        assert part in done.stdout
    assert "question 3" not in done.stdout
    assert "\x1b[31m" not in done.stdout


def test_json_says_the_same(pairs: Path) -> None:
    done = CliRunner().invoke(app, ["data", str(pairs), "--json", "--rows", "1"])
    told = json.loads(done.stdout)
    assert (told["rows"], told["used"], told["read_as"], len(told["prompts"])) == (41, 40, "TRL pairs", 1)
    assert told["left_out"][0]["rows"] == 1
    assert told["prompts"][0]["reference"] == "good 0"
    assert any("override with --set" in note for note in told["notes"])


def test_settings_reach_the_reading(pairs: Path) -> None:
    given = ["--set", 'data.columns={prompt="prompt", chosen="rejected", rejected="chosen"}', "--set", "data.limit=5"]
    told = json.loads(CliRunner().invoke(app, ["data", str(pairs), "--json", *given]).stdout)
    assert (told["rows"], told["read_as"], told["prompts"][0]["rejected"]) == (5, None, ["good 0"])


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"SQLite format 3\x00")
    done = CliRunner().invoke(app, ["data", str(tmp_path / "a.db")])
    assert isinstance(done.exception, DataError)
    assert "this is an SQLite database" in str(done.exception)
