"""What messages and pages tell people to type exists: every option, every verb, every campaign key."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.core

from miner.cli.entry import app
from miner.config.campaign import parse_config
from miner.errors import ConfigError
from tests.pages import PAGES, text_of

ROOT = Path(__file__).resolve().parents[2]
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
SETTING = re.compile(r"--set ['\"]?([a-z_][\w.]*)\s*=")
COMMAND = re.compile(r"\brmminer ((?:corpus )?[a-z]+)((?:(?!\. |, |; | or |[\n`|]).)*)")
SCRIPT = re.compile(r"\bscripts/([a-z_]+)((?:(?!\. |, |; |[\n`|(]).)*)")
FOREIGN = {"--force-reinstall", "--no-deps"}  # pip's
PLACEHOLDER = "key"  # as in --set key=value
SPEAKS_FOR = {"benchmark": "bench", "diversity": "diversity", "doctor": "doctor", "gap": "gap", "overopt": "overopt",
              "serving": "serve", "triage": "triage", "tuning": "tune"}  # fmt: skip
"""A package that one verb alone runs speaks to that verb's users."""


def options_of_verbs() -> dict[str, frozenset[str]]:
    """Every verb's options as the real command line has them; ``corpus`` verbs with that word before them."""

    def walk(name: str, command: Any) -> Iterator[tuple[str, frozenset[str]]]:
        if isinstance(command, typer.core.TyperGroup):
            for inner, one in command.commands.items():
                yield from walk(f"{name} {inner}".strip(), one)
        else:
            flags = {flag for param in command.params for flag in (*param.opts, *param.secondary_opts)}
            yield name, frozenset({*flags, "--help"})

    return dict(walk("", typer.main.get_command(app)))


VERBS = options_of_verbs()
ANY_VERB = frozenset().union(*VERBS.values())


def literals(path: Path) -> Iterator[str]:
    """The string literals of a module, docstrings too; what an f-string fills in is ``{}``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def folder_of_a_verb(path: Path) -> str | None:
    return next((part for part in path.relative_to(ROOT).parts if part in SPEAKS_FOR), None)


def test_every_package_of_one_verb_is_still_there() -> None:
    assert {folder_of_a_verb(path) for path in (ROOT / "miner").rglob("*.py")} - {None} == set(SPEAKS_FOR)


def texts() -> list[tuple[str, str, frozenset[str]]]:
    """(where, text, the options that may be named there)."""
    found = []
    for package in ("attacks", "corpus", "miner"):
        for path in sorted((ROOT / package).rglob("*.py")):
            folder = folder_of_a_verb(path)
            allowed = VERBS[SPEAKS_FOR[folder]] if folder else ANY_VERB
            found += [(str(path.relative_to(ROOT)), text, allowed) for text in literals(path)]
    return found


def misnamed(text: str, allowed: frozenset[str]) -> list[str]:
    """What ``text`` says to type that does not exist."""
    wrong = []
    for verb, rest in COMMAND.findall(text):
        wrong += [f"rmminer {verb} {flag}" for flag in OPTION.findall(rest) if flag not in VERBS.get(verb, ())]
    for script, rest in SCRIPT.findall(text):
        takes = VERBS["demo"] if script == "demo" else options_of_script(script)
        wrong += [f"scripts/{script} {flag}" for flag in OPTION.findall(rest) if flag not in takes]
    elsewhere = COMMAND.sub("", SCRIPT.sub("", text))
    wrong += [flag for flag in OPTION.findall(elsewhere) if flag not in allowed | FOREIGN]
    wrong += [f"--set {key}" for key in SETTING.findall(text) if key != PLACEHOLDER and not is_key(key)]
    return wrong


def is_key(key: str) -> bool:
    """Whether a campaign file has that key."""
    with pytest.raises(ConfigError) as refused:
        parse_config({"out": "x", "data": {"world": "docs"}}, {key: object()}, where="here")
    return "unknown key" not in str(refused.value)


def options_of_script(name: str) -> frozenset[str]:
    path = ROOT / "scripts" / name
    return frozenset(OPTION.findall(path.read_text(encoding="utf-8"))) if path.is_file() else frozenset()


def test_messages_name_options_that_exist() -> None:
    quoted = [(where, text, allowed) for where, text, allowed in texts() if "--" in text or "rmminer " in text]
    assert len(quoted) > 50
    wrong = [f"{where}: {one}" for where, text, allowed in quoted for one in misnamed(text, allowed)]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_options_that_exist(page: Path) -> None:
    of_scripts = [options_of_script(path.name) for path in (ROOT / "scripts").iterdir()]
    assert misnamed(text_of(page), ANY_VERB.union(*of_scripts)) == []


def test_what_does_not_exist_is_seen() -> None:
    assert misnamed("try rmminer corpus verify --set-aside", ANY_VERB) == ["rmminer corpus verify --set-aside"]
    assert misnamed("Drop --revision main", ANY_VERB) == ["--revision"]
    assert misnamed("Lower --max-new-tokens", VERBS["overopt"]) == ["--max-new-tokens"]
    assert misnamed("Try: --set rm.revison=main", ANY_VERB) == ["--set rm.revison"]
    assert misnamed("scripts/bench_cycle --fast", ANY_VERB) == ["scripts/bench_cycle --fast"]
    assert misnamed("rmminer corpus verify --quarantine, --set rm.revision=main", ANY_VERB) == []
