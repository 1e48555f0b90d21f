"""JSON rows from a file: one object per line, or one array of objects; gzipped or not. Told apart by content.

Neither is read whole: memory is one line, or one row of the array and a chunk.
"""

from __future__ import annotations

import gzip
import json
import zlib
from codecs import getincrementaldecoder
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from miner.data.json_arrays import BadArrayError, array_elements
from miner.data.rows import Row
from miner.errors import DataError

BOM = b"\xef\xbb\xbf"
HEAD_BYTES = 1 << 12
CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class JsonSource:
    """JSON lines or a JSON array."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    def columns(self) -> tuple[str, ...]:
        first = next(self.rows(()), None)
        if first is None:
            raise DataError(f"{self.path}: the file is empty; expected rows of JSON objects")
        return tuple(first.values)

    def rows(self, wanted: Sequence[str]) -> Iterator[Row]:  # noqa: ARG002  (a JSON row is parsed whole)
        line = 0
        try:
            for line, value in self._values():
                where = f"{self.path}, line {line}"
                if not isinstance(value, dict):
                    raise DataError(f"{where}: expected a JSON object per row; got {_kind(value)}")
                yield Row(where, value)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{self.path}: the gzip data is torn or corrupt after line {line}: {error}") from error
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read after line {line}: {error.strerror}") from error

    def _values(self) -> Iterator[tuple[int, Any]]:
        """(line number from 1, parsed value)."""
        with _opened(self.path) as file:
            head = file.read(HEAD_BYTES).removeprefix(BOM).lstrip()
            file.seek(0)
            yield from self._array(file) if head.startswith(b"[") else self._lines(file)

    def _lines(self, file: IO[bytes]) -> Iterator[tuple[int, Any]]:
        for number, raw in enumerate(file, start=1):
            try:
                text = (raw.removeprefix(BOM) if number == 1 else raw).decode()
                if text.strip():
                    yield number, json.loads(text)
            except UnicodeDecodeError as error:
                raise self._not_utf8(number, error) from error
            except json.JSONDecodeError as error:
                reason = f"not valid JSON: {error.msg} at column {error.colno}"
                raise DataError(f"{self.path}, line {number}: {reason}") from error
            except (ValueError, RecursionError) as error:
                raise DataError(f"{self.path}, line {number}: not usable JSON: {error}") from error

    def _array(self, file: IO[bytes]) -> Iterator[tuple[int, Any]]:
        try:
            yield from array_elements(self._chunks(file))
        except BadArrayError as error:
            raise DataError(f"{self.path}, line {error.line}: not a valid JSON array: {error}") from error

    def _chunks(self, file: IO[bytes]) -> Iterator[str]:
        decoder = getincrementaldecoder("utf-8-sig")()
        line = 1
        while raw := file.read(CHUNK_BYTES):
            try:
                yield decoder.decode(raw)
            except UnicodeDecodeError as error:
                raise self._not_utf8(line + error.object.count(b"\n", 0, error.start), error) from error
            line += raw.count(b"\n")
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise self._not_utf8(line, error) from error

    def _not_utf8(self, line: int, error: UnicodeDecodeError) -> DataError:
        byte = error.object[error.start]
        return DataError(f"{self.path}, line {line}: not valid UTF-8: {error.reason} (byte 0x{byte:02x})")


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as file:
        if file.peek(2)[:2] == b"\x1f\x8b":
            with gzip.open(file, "rb") as unzipped:
                yield cast(IO[bytes], unzipped)
        else:
            yield file


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__
