"""Paths in a campaign file: what they are relative to, and how they are kept so that a run can be moved.

In a campaign file of one's own and on the command line they count from where the command is given, and ``~`` is home.
A run's own ``campaign.toml`` says ``out = "."``: there they count from the folder that the file lies in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from corpus.locations import location_of
from miner.config.published_models import known

HERE = "."  # the ``out`` of a run's own campaign file
KEYS = (
    ("rm", "source"), ("rm", "base"), ("rm", "tokenizer"), ("rm", "offload_folder"), ("rm", "remote", "tokenizer"),
    ("data", "source"), ("policy", "source"), ("reference_lm", "source"), ("checks", "reviewed"),
)  # fmt: skip
OF_SEVERAL = (("overopt", "gold"), ("overopt", "second"), ("overopt", "members"))  # RMs, by commas or in a list
NAMES = ("docs", "smollm2", "none")  # what stands for models of our own, whatever folder is called so


def absolute(values: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """``values`` of a campaign file with the paths that there are from ``base`` made absolute; hub ids and addresses
    stay as they are."""

    def change(value: str) -> str:
        if not value or value in NAMES:
            return value
        path = Path(os.path.expanduser(value))
        if path.is_absolute():
            return str(path)
        return str((base / path).absolute()) if (base / path).exists() or value.startswith(HERE) else value

    found = _called_by_id(values, _changed(values, change))
    out = found.get("out")
    if isinstance(out, str) and out and location_of(out) is None:
        found["out"] = str(Path(os.path.expanduser(out))) if base == Path.cwd() else str(base / out)
    return found


def _called_by_id(given: Mapping[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """``found``, in which a folder that is laid out as the hub id of a published RM is still like that RM."""
    before, after = given.get("rm"), found.get("rm")
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)) or before.get("source") == after.get("source"):
        return found
    if "like" in after or known(str(before["source"])) is None:
        return found
    return {**found, "rm": {**after, "like": before["source"]}}


def portable(values: Mapping[str, Any], run: Path) -> dict[str, Any]:
    """``values`` with the paths that lie in the run's folder relative to it, and ``out`` as that folder."""
    root = run.absolute()

    def change(value: str) -> str:
        path = Path(value)
        inside = path.is_absolute() and path.is_relative_to(root) and path != root
        return f"./{path.relative_to(root).as_posix()}" if inside else value

    return {**_changed(values, change), "out": HERE}


def _changed(values: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    def change_each(named: str) -> str:
        names = [name.strip() for name in named.split(",")]
        return ",".join(name if known(name) else change(name) for name in names)  # an id brings settings of its own

    found = dict(values)
    for keys in KEYS:
        found = _changed_at(found, keys, change)
    for keys in OF_SEVERAL:
        found = _changed_at(found, keys, change_each)
    return found


def _changed_at(values: Mapping[str, Any], keys: Sequence[str], change: Callable[[str], str]) -> dict[str, Any]:
    """``values`` with what lies under ``keys`` changed, a path or several in a list; as they are where none does."""
    first, *rest = keys
    inner = values.get(first)
    if rest:
        return {**values, first: _changed_at(inner, rest, change)} if isinstance(inner, Mapping) else dict(values)
    if isinstance(inner, (list, tuple)):
        return {**values, first: [change(one) if isinstance(one, str) else one for one in inner]}
    return {**values, first: change(inner)} if isinstance(inner, str) else dict(values)
