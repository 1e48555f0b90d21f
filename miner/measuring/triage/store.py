"""Rows of a triage, kept as the corpus keeps its own: files named by their content whose union is the state.

A kill loses at most the rows not yet published; several processes may add at once; a row is found again by its key,
which names all that decides it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Generic, TypeVar

from corpus.publishing import publish_bytes
from corpus.working_copy import fetched_from
from miner.errors import DataError
from miner.files import read_rows

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class KeyedRow(Generic[Row]):
    key: str
    row: Row


class Rows(Generic[Row]):
    """Rows of one kind (a dataclass) under ``folder``, each by its key; of rows with one key the first by file name
    counts, and all of them say the same."""

    def __init__(self, folder: Path, kind: type[Row]) -> None:
        self.folder = folder
        self.kind = kind

    def read(self) -> dict[str, Row]:
        """All rows by key.

        Raises:
            DataError: a file that is not what was published.
        """
        rows: dict[str, Row] = {}
        for path in sorted(fetched_from(self.folder).glob("*.jsonl")):
            if _name(path.read_bytes()) != path.name:
                raise DataError(f"{path} is damaged: its content does not match its name. Delete it and triage again")
            for one in read_rows(path, KeyedRow[self.kind], "row of this version"):  # type: ignore[name-defined]
                rows.setdefault(one.key, one.row)
        return rows

    def publish(self, rows: Mapping[str, Row]) -> None:
        """Add ``rows``; once this returns, they are durable."""
        if rows:
            lines = [json.dumps(asdict(KeyedRow(key, rows[key])), sort_keys=True) for key in sorted(rows)]
            content = "".join(f"{line}\n" for line in lines).encode("ascii")
            publish_bytes(self.folder, _name(content), content)


def chunks(items: Sequence[Row], size: int) -> list[Sequence[Row]]:
    """``items`` in runs of at most ``size``."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def _name(content: bytes) -> str:
    return f"{hashlib.sha256(content).hexdigest()[:32]}.jsonl"
