"""Where rows come from: a file, a ``datasets`` folder or the hub, opened by what it is and read as a stream."""

from __future__ import annotations

import re
from pathlib import Path

from miner.data.rows import Source
from miner.errors import DataError

DATA_SUFFIXES = (".json", ".jsonl", ".ndjson", ".gz", ".parquet", ".csv", ".txt", ".arrow")
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?")


def open_source(source: str | Path, hub_split: str) -> Source:
    """A path that exists, or else a hub id, which may pin a revision: ``owner/name@revision``.

    Raises:
        DataError: no such file, or a folder that ``datasets`` did not save.
    """
    from miner.data.json_files import JsonSource
    from miner.data.parquet import ParquetSource
    from miner.data.saved_datasets import open_folder, open_hub

    path = Path(source)
    if path.is_dir():
        return open_folder(path, hub_split)
    if path.exists():
        return ParquetSource(path) if _starts_with(path, b"PAR1") else JsonSource(path)
    if isinstance(source, Path) or path.suffix in DATA_SUFFIXES or not HUB_ID.fullmatch(source):
        raise DataError(f"{source}: no such file or folder, and not the form of a hub id (owner/name)")
    return open_hub(source, hub_split)


def _starts_with(path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
