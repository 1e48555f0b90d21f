"""Where rows come from: a file, a ``datasets`` folder or the hub, opened by what it is and read as a stream."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from miner.errors import DataError

DATA_SUFFIXES = (".json", ".jsonl", ".ndjson", ".gz", ".parquet", ".csv", ".txt", ".arrow")
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?")


@dataclass(frozen=True, slots=True)
class Row:
    """One row; ``where`` says file and line for messages."""

    where: str
    values: Mapping[str, Any]


class Source(Protocol):
    """Rows under named columns, streamed."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def columns(self) -> tuple[str, ...]:
        """The columns of the first row."""

    def rows(self, wanted: Sequence[str]) -> Iterator[Row]:
        """Every row in order, with at least the ``wanted`` columns where the row has them."""


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
