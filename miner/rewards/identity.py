"""An RM's fingerprint: its weights, config and tokenizer, hashed once per file version."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from corpus.records import digest

IDENTITY_SUFFIXES = (".safetensors", ".json", ".txt", ".model", ".jinja", ".py")
CHUNK_BYTES = 1 << 22


def cache_folder() -> Path:
    """Where digests and trained models are kept: ``$RMMINER_CACHE``, or ``rmminer`` in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "rmminer"
    return Path(os.environ.get("RMMINER_CACHE", default))


def fingerprint(folder: Path) -> str:
    """Identity of a model folder: the digests of its weight, config and tokenizer files, by name."""
    files = sorted(p for p in folder.iterdir() if p.suffix in IDENTITY_SUFFIXES and p.is_file())
    known = _read_known()
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(lambda file: _file_digest(file, known), files))
    _write_known({_key(file): value for file, value in zip(files, digests, strict=True)})
    return digest([[file.name, value] for file, value in zip(files, digests, strict=True)])


def _file_digest(file: Path, known: dict[str, str]) -> str:
    if file.is_symlink() and re.fullmatch(r"[0-9a-f]{64}", file.resolve().name):
        return file.resolve().name  # a hub cache names its large blobs by their SHA-256
    if (cached := known.get(_key(file))) is not None:
        return cached
    hasher = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(CHUNK_BYTES):
            hasher.update(block)
    return hasher.hexdigest()


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
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as partial:
        json.dump({**_read_known(), **new}, partial)
    os.replace(partial.name, folder / "digests.json")
