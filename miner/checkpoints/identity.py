"""An RM's fingerprint: its weights, config and tokenizer, hashed once per file version."""

from __future__ import annotations

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from corpus.locations import cache_folder as cache_folder
from corpus.records import digest
from miner.files import replace_text

IDENTITY_SUFFIXES = (".safetensors", ".model", ".tiktoken", ".jinja", ".py")
IDENTITY_NAMES = (
    "config.json",
    "adapter_config.json",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
)


def fingerprint(folder: Path) -> str:
    """Identity of a model folder: the digests of its weight, config and tokenizer files, by name."""
    below = (p for p in folder.rglob("*.py") if p.parent != folder)  # code of a model's own, where it has any
    files = sorted(p for p in (*folder.iterdir(), *below) if _decides(p) and p.is_file())
    known = _read_known()
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(lambda file: _file_digest(file, known), files))
    new = {_key(file): value for file, value in zip(files, digests, strict=True) if known.get(_key(file)) != value}
    if new:
        with suppress(OSError):  # a home that cannot be written to costs time, not correctness
            _write_known(new)
    return digest([[file.relative_to(folder).as_posix(), value] for file, value in zip(files, digests, strict=True)])


def _decides(file: Path) -> bool:
    return file.suffix in IDENTITY_SUFFIXES or file.name in IDENTITY_NAMES


def _file_digest(file: Path, known: dict[str, str]) -> str:
    target = file.resolve()
    if file.is_symlink() and target.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", target.name):
        return target.name  # a hub cache names its large blobs by their SHA-256
    if (cached := known.get(_key(file))) is not None:
        return cached
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _key(file: Path) -> str:
    status = file.stat()
    return f"{file.resolve()}|{status.st_size}|{status.st_mtime_ns}"


def _read_known() -> dict[str, str]:
    try:
        known = json.loads((cache_folder() / "digests.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # absent, or torn by a kill: it is only a cache
    return known if isinstance(known, dict) else {}


def _write_known(new: dict[str, str]) -> None:
    replace_text(cache_folder() / "digests.json", json.dumps({**_read_known(), **new}))
