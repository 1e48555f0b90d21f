"""What a verb is given as text, whichever verb: never empty, and ``~`` is home."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.core

from miner.cli.entry import app
from miner.errors import ConfigError

Run = Callable[..., tuple[int, str, str]]


def given_values(name: str, command: Any) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """(verb, a call of it in which one value is empty, what the value is called)."""
    if isinstance(command, typer.core.TyperGroup):
        for inner, one in command.commands.items():
            yield from given_values(f"{name} {inner}".strip(), one)
        return
    needed = [one for one in command.params if isinstance(one, typer.core.TyperArgument) and one.required]
    for one in command.params:
        if isinstance(one, typer.core.TyperArgument):
            places = needed if one in needed else [*needed, one]
            yield name, tuple("" if place is one else "x" for place in places), str(one.name)
        elif not one.is_flag:
            yield name, (*("x" for _ in needed), one.opts[0], ""), one.opts[0]


VALUES = list(given_values("", typer.main.get_command(app)))
TEXTS = {("doctor", "model"), ("doctor", "--data"), ("demo", "--out"), ("mine", "config"), ("mine", "--attack"),
         ("bench", "models"), ("bench", "--replay"), ("gap", "--gold-rm"), ("overopt-people", "study"),
         ("serve", "--key-env"), ("corpus import", "source"), ("corpus export", "--split")}  # fmt: skip
"""Some of those that have to be among them."""


@pytest.mark.parametrize(("verb", "call", "value"), VALUES, ids=[f"{verb} {value}" for verb, _, value in VALUES])
def test_nothing_that_is_given_is_empty(verb: str, call: tuple[str, ...], value: str, run: Run, tmp_path: Path) -> None:
    status, out, said = run(*verb.split(), *call)
    assert (status, out) == (2, "")
    if value.startswith("--") and "Invalid value" in said:  # of a number, or one of a few words
        assert (verb, value) not in TEXTS
        assert "unable to parse" in said or "is not one of" in said
    else:
        assert said.count("\n") == 1
        name = value if value.startswith("--") else value.upper()
        assert said.startswith(f"rmminer: {name} is empty on the command line. Give it a value")
    assert list(tmp_path.iterdir()) == []


def test_every_kind_of_text_was_tried() -> None:
    assert {(verb, value) for verb, _, value in VALUES} >= TEXTS


@pytest.mark.parametrize(
    "setting",
    ['out=""', "out=", 'data.source=""', 'policy.source=""', 'reference_lm.source=""', 'rm.tokenizer=""',
     'rm.head.weights=""', "checks.names=['']", "evaluate.attacks=['']", "patch.frozen=['']", 'overopt.gold=""',
     "overopt.members=['']", 'data.columns.prompt=""', "attacks=[{name=''}]"],
)  # fmt: skip
def test_no_setting_that_names_something_is_empty(setting: str, run: Run, tmp_path: Path) -> None:
    status, _, said = run("mine", "--quiet", "--rm", "x", "--data", "y", "--set", setting)
    assert status == 2
    assert said.count("\n") == 1
    assert setting.partition("=")[0] in said
    assert "an empty text. Give it a value, or leave it out" in said
    assert list(tmp_path.iterdir()) == []


def test_a_cell_and_a_salt_may_be_empty() -> None:
    from miner.config.campaign import ColumnsSection, DataSection

    columns = ColumnsSection(label_values=("", "b"), tie_labels=("",))
    assert DataSection(source="x", columns=columns, split_salt="").columns == columns


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    return home


@pytest.mark.parametrize(
    "call",
    ["report ~/it", "triage ~/it", "corpus stats ~/it", "corpus verify ~/it", "corpus import ./here ~/it",
     "overopt-people ~/it", "data ~/it", "doctor ~/it", "serve ~/it", "mine ~/it.toml",
     "bench ~/rm --replay ~/it", "diversity --texts ~/it", "gap --facts ~/it --prompts 0",
     "evaluate --data ~/it --rm x"],
)  # fmt: skip
def test_home_is_home_wherever_a_path_is_taken(call: str, run: Run, home: Path) -> None:
    status, _, said = run(*call.split())
    assert status == 2
    assert str(home / "it") in said
    assert "~" not in said.splitlines()[-1]


def test_each_of_several_models_may_lie_at_home(home: Path) -> None:
    from miner.config.campaign import parse_config
    from miner.measuring.scorers import open_scorer
    from miner.progress import Silent

    config = parse_config({"rm": {"source": "x"}, "data": {"source": "y"}, "out": "z"}, where="test")
    with pytest.raises(ConfigError, match=re.escape(str(home / "it.toml"))):
        open_scorer("~/it.toml, other", config, Silent())


def test_checkpoints_may_lie_at_home(home: Path) -> None:
    from miner.measuring.diversity.checkpoints import read_checkpoints

    (home / "policy").mkdir()
    (home / "texts.jsonl").write_text(json.dumps({"prompt": "p", "response": "one two"}) + "\n")
    file = home.parent / "checkpoints.jsonl"
    rows = [{"label": "a", "policy": "~/policy"}, {"label": "b", "texts": "~/texts.jsonl"}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    policy, texts = read_checkpoints(file, samples=1, seed=0)
    assert policy.policy == str(home / "policy")
    assert texts.response_sets is not None


def test_an_empty_variable_is_no_cache_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from miner.checkpoints.identity import cache_folder

    for name, value, place in (("RMMINER_CACHE", "", ".cache/rmminer"), ("RMMINER_CACHE", "~/kept", "kept")):
        monkeypatch.setenv("XDG_CACHE_HOME", "")
        monkeypatch.setenv(name, value)
        assert cache_folder() == home / place
