"""Reading a table as it grows: what was published since the last time, without opening a segment twice."""

from __future__ import annotations

from pathlib import Path
from typing import Generic, TypeVar, cast

import pyarrow as pa

from corpus.rows import record_of
from corpus.scan import first_published, read_segments, row_keys
from corpus.schema import Record, TableSpec

R = TypeVar("R", bound=Record)


class Follower(Generic[R]):
    """The records of one table, each given once: with one key, the first that was seen."""

    def __init__(self, folder: Path, spec: TableSpec) -> None:
        self._folder, self._spec = folder, spec
        self._segments: set[str] = set()
        self._keys: set[str] = set()

    def news(self) -> list[R]:
        """What was published since the last call, in order of publication; at first everything.

        Raises:
            As ``corpus.scan.scan``; what was not given then comes with the next call.
        """
        columns = tuple(self._spec.schema.names)
        segments = read_segments(self._folder, self._spec, columns, known=self._segments)
        rows = first_published(list(segments.values()), self._spec, columns)
        keys = row_keys(rows, self._spec).to_pylist()
        fresh = rows.filter(pa.array([key not in self._keys for key in keys], type=pa.bool_()))
        records = [cast(R, record_of(self._spec, row)) for row in fresh.select(list(columns)).to_pylist()]
        self._segments.update(segments)
        self._keys.update(keys)
        return records
