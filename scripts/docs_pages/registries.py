"""Tables made from the registries: attacks, verbs, checks, rooms of the code, published reward models."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import typer
import typer.core

from attacks import Attack, Carried, GradientQuery, PolicyQuery, Seeds
from attacks.registry import BUILT_IN
from miner.cli.entry import app
from miner.config.published_models import KNOWN
from miner.judging.checks.registry import CHECKS
from scripts.docs_pages.markdown import as_markdown, table

ROOT = Path(__file__).resolve().parents[2]
NEEDS = {GradientQuery: "gradients", PolicyQuery: "a policy", Seeds: "older findings", Carried: "older findings"}
ROOMS = (
    "config", "checkpoints", "data", "rewards", "language_models", "judging", "searching", "patching", "worlds",
    "campaigns", "measuring", "reporting", "reviewing", "serving", "cli",
)  # fmt: skip
"""The rooms of ``miner/``, lowest layer first."""
CITATION = re.compile(r" \([^)]*(?:19|20)\d\d[^)]*\)")


def attacks() -> str:
    """One row per built-in attack; citations are left to ``attacks_in_detail``."""
    return table(
        ("attack", "family", "needs", "what it does"),
        [
            (f"`{kind.name}`", kind.family, _needs(kind), CITATION.sub("", _first_line(inspect.getmodule(kind))))
            for kind in BUILT_IN
        ],
    )


def attacks_in_detail() -> str:
    """One row per built-in attack: source, how it searches, hyper-parameters with their defaults."""
    rows = []
    for kind in BUILT_IN:
        fields = (f"`{field.name}` {field.default!r}" for field in dataclasses.fields(kind))
        source = CITATION.search(_first_line(inspect.getmodule(kind)))
        how = " ".join(as_markdown(inspect.getdoc(kind) or "").split())
        rows.append((f"`{kind.name}`", source[0].strip(" ()") if source else "", how, ", ".join(fields)))
    return table(("attack", "source", "how it searches", "hyper-parameters and defaults"), rows)


def _needs(kind: type[Attack]) -> str:
    wanted = [name for base, name in NEEDS.items() if any(issubclass(query, base) for query in kind.needs)]
    return ", ".join(wanted)


def verbs() -> str:
    """One row per verb of the command line; a group of verbs has one row."""
    command: Any = typer.main.get_command(app)
    rows = []
    for name, one in command.commands.items():
        inner = list(one.commands) if isinstance(one, typer.core.TyperGroup) else []
        rows.append((f"`{' '.join([name, '|'.join(inner)]).strip()}`", _first_clause(one.help)))
    return table(("verb", "what it does"), rows)


def checks() -> str:
    """One row per built-in check."""
    rows = []
    for name, where in CHECKS.items():
        rows.append((f"`{name}`", _first_line(importlib.import_module(where.partition(":")[0]))))
    return table(("check", "what it measures"), rows)


def packages() -> str:
    """One line per room of ``miner/``, from its docstring."""
    width = max(map(len, ROOMS)) + 2
    lines = (f"{name + '/':{width}}{_of_package(f'miner/{name}').split(', ')[0]}" for name in ROOMS)
    return "\n".join(["```", *lines, "```"])


def rooms() -> str:
    """One row per package, wings of the rooms too."""
    folders = [ROOT / "attacks", ROOT / "corpus"]
    for name in ROOMS:
        folders += [place.parent for place in sorted((ROOT / "miner" / name).rglob("__init__.py"))]
    names = [folder.relative_to(ROOT).as_posix() for folder in folders]
    return table(("package", "what is in it"), [(f"`{name}/`", _of_package(name)) for name in names])


def published_models() -> str:
    """One row per family of published reward models whose settings are known."""
    return table(
        ("family", "models", "known from", "what to know"),
        [
            (known.family, ", ".join(f"`{model}`" for model in known.models), known.origin, as_markdown(known.note))
            for known in KNOWN
        ],
    )


def _of_package(name: str) -> str:
    module = ast.parse((ROOT / name / "__init__.py").read_text(encoding="utf-8"))
    line = (ast.get_docstring(module) or "").partition("\n")[0]
    return as_markdown(re.split(r"\.(?:\s|$)", line)[0])


def _first_line(module: Any) -> str:
    return as_markdown((module.__doc__ or "").partition("\n")[0]).rstrip(".")


def _first_clause(text: str) -> str:
    return re.split(r"[;:.](?:\s|$)|, and ", text.partition("\n")[0])[0]
