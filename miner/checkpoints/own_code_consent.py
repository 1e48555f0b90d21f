"""Code that comes with a model: which files, with which hashes, and whether they are those that were agreed to."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from corpus.records import digest
from miner.errors import ModelError
from miner.safe_text import visible

HASH_SHOWN = 16


def code_files(folder: Path) -> dict[str, str]:
    """The Python files in and below the folder with the SHA-256 of each: all that transformers may run of it."""
    found = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*.py")}
    return {name: hashlib.sha256(found[name].read_bytes()).hexdigest() for name in sorted(found)}


def code_hash(files: Mapping[str, str]) -> str:
    """One hash of all files, names included."""
    return digest(sorted(files.items()))


def agree_to_code(folder: Path, pinned: str | None) -> None:
    """Show on stderr which code is about to run, and refuse what is not what was pinned.

    Raises:
        ModelError: the files are others than ``pinned`` says, or lie in another repository.
    """
    files = code_files(folder)
    found = code_hash(files)
    if pinned is not None and pinned != found:
        raise ModelError(
            f"the code in {folder} has hash {found}, rm.code_hash says {pinned}: it changed. Read "
            f"{', '.join(files) or 'the folder, which has none'}, then set the new hash"
        )
    for name in ("config.json", "tokenizer_config.json"):
        for reference in _references(folder / name):
            if "--" in reference:
                raise ModelError(
                    f"{name} of {folder} takes code from another repository ({reference}), which no hash here covers. "
                    f"Put its files into the folder and write {reference.partition('--')[2]!r} there"
                )
    if files:
        listed = ", ".join(f"{visible(name)} {sha[:HASH_SHOWN]}" for name, sha in files.items())
        print(f"runs code of the model: {listed}; pin it: --set rm.code_hash={found}", file=sys.stderr)


def has_code(folder: Path) -> bool:
    """Whether the folder's config asks for code of its own."""
    return bool(_references(folder / "config.json"))


def _references(file: Path) -> list[str]:
    """What a config's ``auto_map`` names as classes: "modeling_own.OwnModel"."""
    try:
        mapped = json.loads(file.read_text(encoding="utf-8")).get("auto_map") or {}
    except (OSError, ValueError, AttributeError):
        return []
    found = mapped.values() if isinstance(mapped, dict) else mapped
    flat = [one for entry in found for one in (entry if isinstance(entry, list) else [entry])]
    return [one for one in flat if isinstance(one, str)]
