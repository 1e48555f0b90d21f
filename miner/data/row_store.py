"""What usable rows say, in a temporary file that is mapped into memory: a million rows take no more of it than ten."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, Self

import numpy as np
import numpy.typing as npt

from corpus.records import Conversation
from miner.data.preferences import Preference
from miner.errors import DataError

BATCH_ROWS = 512

Numbers = npt.NDArray[np.integer[Any]]


@dataclass(slots=True)
class RowWriter:
    """Takes rows in, and holds the file they are written to until it is left."""

    _file: IO[bytes] = field(default_factory=tempfile.TemporaryFile)
    _writer: Any = None
    _held: _Columns = field(default_factory=lambda: _Columns())

    def add(self, conversation: Conversation, preference: Preference) -> None:
        """One more row; the conversation is empty where an earlier row of its prompt has it."""
        held = self._held
        for turn in conversation:
            held.roles.append(turn.role)
            held.contents.append(turn.content)
        held.turn_ends.append(len(held.roles))
        held.chosen.append(preference.chosen)
        held.rejected += preference.rejected
        held.rejected_ends.append(len(held.rejected))
        held.scores.append(preference.score)
        if len(held.chosen) == BATCH_ROWS:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def store(self) -> RowStore:
        """What was written, to be read; the writer takes no more."""
        import pyarrow as pa

        self._flush()
        self._writer.close()
        self._file.flush()
        mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        held = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(mapped)))
        return RowStore(tuple(held.get_batch(number) for number in range(held.num_record_batches)))

    def _flush(self) -> None:
        import pyarrow as pa

        batch = self._held.batch()
        try:
            if self._writer is None:
                self._writer = pa.ipc.new_file(self._file, batch.schema)
            self._writer.write_batch(batch)
        except OSError as error:
            place = tempfile.gettempdir()
            problem = f"{place}: what is read cannot be kept there: {error.strerror or error}"
            raise DataError(f"{problem}. Set TMPDIR to a folder with more room") from error
        self._held = _Columns()


@dataclass(frozen=True, slots=True)
class RowStore:
    """Rows by number, in the order in which they came."""

    batches: tuple[Any, ...]

    def read(self, rows: Numbers) -> Iterator[dict[str, Any]]:
        """These rows: ``turns``, ``chosen``, ``rejected``, ``score``."""
        batch_of = rows // BATCH_ROWS
        for part in np.split(rows, np.flatnonzero(np.diff(batch_of)) + 1):
            if len(part):
                yield from self.batches[part[0] // BATCH_ROWS].take(part % BATCH_ROWS).to_pylist()


@dataclass(slots=True)
class _Columns:
    """Rows side by side, until they are written."""

    roles: list[str] = field(default_factory=list)
    contents: list[str] = field(default_factory=list)
    turn_ends: list[int] = field(default_factory=lambda: [0])
    chosen: list[str | None] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    rejected_ends: list[int] = field(default_factory=lambda: [0])
    scores: list[float | None] = field(default_factory=list)

    def batch(self) -> Any:
        import pyarrow as pa

        text = pa.large_string()  # 2 GB of text are not too much
        said = [pa.array(self.roles, text), pa.array(self.contents, text)]
        columns = {
            "turns": pa.ListArray.from_arrays(
                pa.array(self.turn_ends, pa.int32()), pa.StructArray.from_arrays(said, ["role", "content"])
            ),
            "chosen": pa.array(self.chosen, text),
            "rejected": pa.ListArray.from_arrays(
                pa.array(self.rejected_ends, pa.int32()), pa.array(self.rejected, text)
            ),
            "score": pa.array(self.scores, pa.float64()),
        }
        return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
