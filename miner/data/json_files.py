"""JSON rows from a file: one object per line, objects laid out anyhow, one array, or one object that holds the rows.

Told apart by content. Lines and arrays are not read whole: memory is one line, or one row of the array and a chunk.
"""

from __future__ import annotations

import io
import json
from codecs import getincrementaldecoder
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import IO, Any

from miner.data.file_kinds import HEAD_BYTES, OTHER_ENCODING, encoding_of
from miner.data.json_shapes import rows_within
from miner.data.json_text import BadJsonError, array_elements, values_in_turn
from miner.data.packed import TORN, DataFile, readable
from miner.data.pairs import PairColumns, Pairs, parsed_lines, parts_of
from miner.data.rows import Reason, Row, UnusableRowError
from miner.errors import DataError

CHUNK_BYTES = 1 << 16
BLOCK_BYTES = 1 << 19

_parse = json.JSONDecoder().decode


@dataclass(slots=True)
class _Place:
    line: int = 0


@dataclass(frozen=True, slots=True)
class JsonSource:
    """JSON in any of these shapes; ``split`` names the rows of one object that holds several lists."""

    file: DataFile
    split: str = "train"

    @property
    def name(self) -> str:
        return self.file.name

    def rows(
        self,
        wanted: Sequence[str] | None = None,  # noqa: ARG002
        pairs: PairColumns | None = None,
    ) -> Generator[Row | UnusableRowError | Pairs]:
        place = _Place()
        with readable(self.name, lambda: f" after line {place.line}"), self.file.open() as stream:
            head = stream.read(HEAD_BYTES)
        with readable(self.name, lambda: f" after line {place.line}"), self.file.open() as stream:
            encoding = encoding_of(head)
            begins = head.decode(encoding, errors="ignore").lstrip("\ufeff \t\r\n")
            if begins.startswith("["):
                values: Iterator[tuple[int | str, Any]] = self._listed(
                    array_elements(self._chunks(stream, encoding)), "not a valid JSON array"
                )
            else:
                values = self._objects(stream, encoding, pairs)
            name = self.name
            for where, value in values:
                if isinstance(where, int):
                    place.line = where
                if isinstance(value, Pairs):
                    yield value
                    continue
                named = f"{name}, line {where}" if isinstance(where, int) else f"{name}, {where}"
                yield Row(named, value) if isinstance(value, dict) else _no_row(named, value)

    def _objects(self, stream: IO[bytes], encoding: str, pairs: PairColumns | None) -> Iterator[tuple[int | str, Any]]:
        """One object a line where the first or second line is one; otherwise objects across lines."""
        lines = _lines(stream, encoding)
        held = list(islice(((number, line) for number, line in lines if line.strip()), 2))
        parsed = [self._parsed(number, line, encoding) for number, line in held]
        goes_on = [isinstance(value, UnusableRowError) and value.is_cut for value in parsed]
        if held and goes_on[0] and not any(isinstance(value, dict) for value in parsed) and _is_open(held[0][1]):
            rest = self._text(chain(held, lines), encoding)
            pieces = self._listed(values_in_turn(rest), "not valid JSON")
        else:
            whole = chain(held, lines)
            is_bytes = encoding.startswith("utf-8")
            pieces = self._by_block(whole, encoding, pairs) if pairs and is_bytes else self._by_line(whole, encoding)
        two = list(islice(pieces, 2))
        within = rows_within(two[0][1], self.split) if len(two) == 1 and isinstance(two[0][1], dict) else None
        if within is not None:
            yield from ((f"row {number}", value) for number, value in enumerate(within, start=1))
        else:
            yield from chain(two, pieces)

    def _by_line(self, lines: Iterable[tuple[int, bytes | str]], encoding: str) -> Iterator[tuple[int | str, Any]]:
        for number, line in lines:
            if not line.strip():
                continue
            value = self._parsed(number, line, encoding)
            newline: Any = b"\n" if isinstance(line, bytes) else "\n"
            if isinstance(value, UnusableRowError) and number > 1 and not line.endswith(newline):
                raise DataError(f"{value}. It is the last line and has no end: is the file cut short?")
            yield number, value

    def _by_block(
        self, lines: Iterator[tuple[int, Any]], encoding: str, pairs: PairColumns
    ) -> Iterator[tuple[int | str, Any]]:
        """Lines as ``_by_line`` gives them or, where rows are plain, side by side under the last one's number."""
        while True:
            block, failure = _block(lines)
            table = parsed_lines(b"".join(line for _, line in block), len(block), pairs) if block else None
            for begin, end, plain in parts_of(table, pairs) if table is not None else ((0, len(block), None),):
                if plain is None:
                    yield from self._by_line(block[begin:end], encoding)
                else:
                    yield block[end - 1][0], plain
            if failure is not None:
                raise failure
            if not block:
                return

    def _parsed(self, number: int, line: bytes | str, encoding: str) -> Any:
        """The value of a line, or why it is none."""
        try:
            text = line.decode(encoding) if isinstance(line, bytes) else line
            return _parse(text.removeprefix("\ufeff"))
        except UnicodeDecodeError as error:
            return self._broken(number, _not_utf8(error))
        except json.JSONDecodeError as error:
            return self._broken(number, f"not valid JSON: {error.msg} at column {error.colno}", is_cut=True)
        except (ValueError, RecursionError) as error:
            return self._broken(number, f"not usable JSON: {error}")

    def _broken(self, line: int, detail: str, *, is_cut: bool = False) -> UnusableRowError:
        return UnusableRowError(Reason.BROKEN, f"{self.name}, line {line}", detail, is_cut=is_cut)

    def _listed(self, values: Iterator[tuple[int, Any]], problem: str) -> Iterator[tuple[int | str, Any]]:
        try:
            yield from values
        except BadJsonError as error:
            raise DataError(f"{self.name}, line {error.line}: {problem}: {error}") from error

    def _text(self, lines: Iterable[tuple[int, bytes | str]], encoding: str) -> Iterator[str]:
        for number, line in lines:
            try:
                yield line.decode(encoding) if isinstance(line, bytes) else line
            except UnicodeDecodeError as error:
                raise DataError(f"{self.name}, line {number}: {_not_utf8(error)}") from error

    def _chunks(self, stream: IO[bytes], encoding: str) -> Iterator[str]:
        decoder = getincrementaldecoder("utf-8-sig" if encoding == "utf-8" else encoding)()
        line = 1
        while raw := stream.read(CHUNK_BYTES):
            try:
                yield decoder.decode(raw).removeprefix("\ufeff")
            except UnicodeDecodeError as error:
                at = line + error.object.count(b"\n", 0, error.start)
                raise DataError(f"{self.name}, line {at}: {_not_utf8(error)}") from error
            line += raw.count(b"\n")
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise DataError(f"{self.name}, line {line}: {_not_utf8(error)}") from error


def _no_row(where: str, value: Any) -> UnusableRowError:
    if isinstance(value, UnusableRowError):
        return value
    kind = "null" if value is None else type(value).__name__
    return UnusableRowError(Reason.BROKEN, where, f"expected a JSON object per row; got {kind}")


def _lines(stream: IO[bytes], encoding: str) -> Iterator[tuple[int, bytes | str]]:
    """(number from 1, line): as bytes, so that one bad line spoils no other; as text where a character has more."""
    if encoding.startswith("utf-8"):
        yield from enumerate(stream, start=1)
    else:
        text = io.TextIOWrapper(stream, encoding=encoding, newline="\n")
        try:
            yield from enumerate(text, start=1)
        finally:
            if not stream.closed:
                text.detach()  # whoever opened the stream closes it


def _block(lines: Iterator[tuple[int, Any]]) -> tuple[list[tuple[int, Any]], Exception | None]:
    """The next lines, and what went wrong after them."""
    block, size = [], 0
    try:
        for number, line in lines:
            block.append((number, line))
            size += len(line)
            if size >= BLOCK_BYTES:
                break
    except (*TORN, OSError) as error:
        return block, error
    return block, None


def _is_open(line: bytes | str) -> bool:
    """Whether a line can be the beginning of an object that goes on."""
    text = line.decode(errors="replace") if isinstance(line, bytes) else line
    return text.lstrip("\ufeff \t").startswith("{")


def _not_utf8(error: UnicodeDecodeError) -> str:
    name = "UTF-8" if error.encoding.startswith("utf-8") else error.encoding.upper()
    return f"not valid {name}: {error.reason} (byte 0x{error.object[error.start]:02x}). {OTHER_ENCODING}"
