"""What usable rows say, in a temporary file that is mapped into memory: a million rows take no more of it than ten."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import IO, Any, Self

import numpy as np
import numpy.typing as npt

from corpus.records import Conversation
from miner.data.pairs import Pairs
from miner.data.preferences import Preference
from miner.errors import DataError

BATCH_ROWS = 512
NAMES = ["turns", "chosen", "rejected", "score"]

Numbers = npt.NDArray[np.integer[Any]]


@dataclass(slots=True)
class RowWriter:
    """Takes rows in, and holds the file they are written to until it is left."""

    n_rows: int = 0
    _starts: list[int] = field(default_factory=list)
    _file: IO[bytes] = field(default_factory=lambda: _unbuffered())
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

    def add_pairs(self, pairs: Pairs) -> None:
        """These rows, each with its prompt as a conversation."""
        import pyarrow as pa

        self._flush()
        n, text = len(pairs), pa.large_string()
        one_each = pa.array(np.arange(n + 1, dtype=np.int32))
        said = [pa.repeat(pa.scalar("user", text), n), pairs.prompts.cast(text)]
        columns = [
            pa.ListArray.from_arrays(one_each, pa.StructArray.from_arrays(said, ["role", "content"])),
            pairs.chosen.cast(text),
            pa.ListArray.from_arrays(one_each, pairs.rejected.cast(text)),
            pa.nulls(n, pa.float64()),
        ]
        self._write(pa.RecordBatch.from_arrays(columns, NAMES))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def store(self) -> RowStore:
        """What was written, to be read; the writer takes no more."""
        import pyarrow as pa

        self._flush()
        with _kept():
            self._writer.close()
        mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        held = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(mapped)))
        batches = tuple(held.get_batch(number) for number in range(held.num_record_batches))
        return RowStore(batches, np.array(self._starts))

    def _flush(self) -> None:
        if self._held.chosen or self._writer is None:
            self._write(self._held.batch())
            self._held = _Columns()

    def _write(self, batch: Any) -> None:
        import pyarrow as pa

        self._starts.append(self.n_rows)
        self.n_rows += batch.num_rows
        with _kept():
            if self._writer is None:
                self._writer = pa.ipc.new_file(self._file, batch.schema)
            self._writer.write_batch(batch)


def _unbuffered() -> IO[bytes]:
    """A temporary file in which what was written is written: closing it cannot fail for want of room."""
    return tempfile.TemporaryFile(buffering=0)


@contextmanager
def _kept() -> Iterator[None]:
    """Raises: DataError: what is written here has no room."""
    try:
        yield
    except OSError as error:
        problem = f"{tempfile.gettempdir()}: what is read cannot be kept there: {error.strerror or error}"
        raise DataError(f"{problem}. Set TMPDIR to a folder with more room") from error


@dataclass(frozen=True, slots=True)
class RowStore:
    """Rows by number, in the order in which they came."""

    batches: tuple[Any, ...]
    starts: Numbers

    def read(self, rows: Numbers) -> Iterator[dict[str, Any]]:
        """These rows: ``turns``, ``chosen``, ``rejected``, ``score``."""
        batch_of = np.searchsorted(self.starts, rows, side="right") - 1
        cuts = np.flatnonzero(np.diff(batch_of)) + 1
        for begin, end in pairwise([0, *cuts.tolist(), len(rows)]):
            number = batch_of[begin]
            yield from self.batches[number].take(rows[begin:end] - self.starts[number]).to_pylist()


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
        columns = [
            pa.ListArray.from_arrays(
                pa.array(self.turn_ends, pa.int32()), pa.StructArray.from_arrays(said, ["role", "content"])
            ),
            pa.array(self.chosen, text),
            pa.ListArray.from_arrays(pa.array(self.rejected_ends, pa.int32()), pa.array(self.rejected, text)),
            pa.array(self.scores, pa.float64()),
        ]
        return pa.RecordBatch.from_arrays(columns, NAMES)
