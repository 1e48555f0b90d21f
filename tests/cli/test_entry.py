"""What the command line says where something is amiss: one line, the right status, and a way out that is one."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from miner.cli.output import clipped, spell_out_what_is_lacking
from miner.searching.mining import MiningReport

Run = Callable[..., tuple[int, str, str]]


def test_what_a_library_raises_is_one_line_and_status_2(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miner.cli.rms.known_list", lambda _known: json.loads("{"))
    status, _, said = run("rms")
    assert status == 2
    assert "json: JSONDecodeError: Expecting property name" in said
    assert "Traceback" not in said


def test_what_our_own_code_raises_shows_where(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miner.cli.rms.known_list", lambda _known: clipped(None))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        run("rms")


@pytest.mark.parametrize("option", ["--out", "--rm", "--data", "--policy", "--reference-lm"])
def test_an_empty_option_is_refused(option: str, run: Run, tmp_path: Path) -> None:
    status, _, said = run("mine", "--rm", "x", "--data", "y", option, "")
    assert status == 2
    assert "is empty on the command line" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("setting", ["checks.names=[repetition,construction]", "data.columns={prompt=prompt}"])
def test_quotes_that_the_shell_took_are_told_of(setting: str, run: Run) -> None:
    status, _, said = run("mine", "--rm", "x", "--data", "y", "--set", setting)
    assert status == 2
    assert "not TOML" in said
    assert "put the whole in quotes" in said


def test_a_misspelt_split_is_told_the_nearest(run: Run, tmp_path: Path) -> None:
    from corpus import Corpus
    from scripts.drills import samples

    Corpus(tmp_path / "corpus").append(samples.finding())
    status, _, said = run("corpus", "export", tmp_path, tmp_path / "x", "--split", "held-out")
    assert status == 2
    assert "no split 'held-out' (did you mean 'held_out'?)" in said


def test_columns_of_one_name_are_told_apart(run: Run, tmp_path: Path) -> None:
    from corpus import Corpus
    from scripts.drills import samples

    Corpus(tmp_path / "corpus").append(samples.finding(), samples.attempt())
    sql = "select f.round, a.round, a.round as round_2 from findings f, attempts a"
    status, told, _ = run("corpus", "query", tmp_path, sql, "--json")
    assert status == 0
    assert [len(row) for row in json.loads(told)] == [3]


def test_attempts_that_all_end_in_an_error_are_no_success(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = SimpleNamespace(corpus=SimpleNamespace(path="somewhere"))
    erring = MiningReport(made=4, skipped=0, found=0, errors=4)
    monkeypatch.setattr("miner.campaigns.opening.OpenCampaign", lambda *_given, **_options: opened)
    monkeypatch.setattr("miner.campaigns.stages.mine_round", lambda *_given: erring)
    status, _, said = run("mine", "--rm", "x", "--data", "y", "--out", "r")
    assert status == 2
    assert "all 4 attempts ended in an error" in said


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii"])
def test_what_a_console_lacks_is_spelled(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    spell_out_what_is_lacking()
    stream.write("→ ≥ 語")
    stream.flush()
    assert raw.getvalue() == b"-> >= \\u8a9e"
