"""Appending: rows wait in memory until there are enough of them, or one has waited long enough."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from corpus.errors import CorpusWriteError
from corpus.rows import row_of, spec_of
from corpus.schema import TABLES, Record
from corpus.segments import publish_segment

_ORDER = {name: position for position, name in enumerate(TABLES)}


class Writer:
    """Publishes records; those added before a ``flush`` that returned survive anything.

    A write that fails raises and keeps the rows: free the space and ``flush`` again. Safe to share between threads.
    Used as a context manager it publishes what is left on the way out, whatever the reason (Ctrl-C included).
    """

    def __init__(self, folder: Path, *, flush_rows: int, flush_seconds: float) -> None:
        if flush_rows < 1 or not flush_seconds > 0:
            raise ValueError(f"expected flush_rows ≥ 1 and flush_seconds > 0, got {flush_rows} and {flush_seconds}")
        self._folder = folder
        self._flush_rows = flush_rows
        self._flush_seconds = flush_seconds
        self._pending: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
        self._oldest: float | None = None
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._clock = threading.Thread(target=self._flush_when_due, name="corpus-writer", daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, *records: Record) -> None:
        """Takes records that belong together: an attempt is never published before the findings added with it.

        Raises:
            InvalidRecordError: one of them cannot be stored; none is taken.
            CorpusWriteError: publishing was due and failed; the rows are kept for the next ``flush``.
        """
        rows = sorted(((spec_of(record).name, row_of(record)) for record in records), key=_publication_order)
        with self._lock:
            if self._closed.is_set():
                raise CorpusWriteError("this writer is closed; open another with corpus.writer()")
            for name, row in rows:
                self._pending[name].append(row)
            if rows and self._oldest is None:
                self._oldest = time.monotonic()
            if self._count() >= self._flush_rows or self._seconds_left() <= 0:
                self.flush()
            elif not self._clock.is_alive():
                self._clock.start()

    def flush(self) -> None:
        """Publishes everything added so far; once this returns, all of it is acknowledged.

        Raises:
            CorpusWriteError: see its message; what was not published is kept.
        """
        with self._lock:
            for name, rows in self._pending.items():
                if rows:
                    publish_segment(self._folder / name, pa.Table.from_pylist(rows, schema=TABLES[name].schema))
                    rows.clear()
            self._oldest = None

    def close(self) -> None:
        """Publishes what is left and takes no more."""
        self._closed.set()
        self.flush()
        if self._clock.is_alive():
            self._clock.join()

    def _count(self) -> int:
        return sum(len(rows) for rows in self._pending.values())

    def _seconds_left(self) -> float:
        if self._oldest is None:
            return self._flush_seconds
        return self._oldest + self._flush_seconds - time.monotonic()

    def _flush_when_due(self) -> None:
        pause = self._flush_seconds
        while not self._closed.wait(min(pause, threading.TIMEOUT_MAX)):
            with self._lock:
                pause = self._seconds_left()
                if pause <= 0:
                    pause = self._flush_seconds if self._flushed() else max(self._flush_seconds, 1.0)

    def _flushed(self) -> bool:
        """Whether a flush went through. A failed one is raised to the caller by the next ``add`` or ``flush``."""
        try:
            self.flush()
        except CorpusWriteError:
            return False
        return True


def _publication_order(named_row: tuple[str, dict[str, Any]]) -> int:
    return _ORDER[named_row[0]]
