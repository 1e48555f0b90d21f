"""Rows from Arrow's formats and CSV, a batch at a time and, where the format allows, only the columns asked for."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from miner.data.file_kinds import HEAD_BYTES, OTHER_ENCODING, FileKind, encoding_of
from miner.data.packed import DataFile, readable
from miner.data.pairs import PairColumns, Pairs, parts_of
from miner.data.rows import Reason, Row, UnusableRowError
from miner.errors import DataError

BATCH_ROWS = 1024
CSV_BLOCK_BYTES = 1 << 24  # no cell of a CSV file may be longer
DELIMITERS = ",;\t|"


@dataclass(frozen=True, slots=True)
class ArrowSource:
    """A Parquet or Arrow file; rows count from 1."""

    file: DataFile
    kind: FileKind

    @property
    def name(self) -> str:
        return self.file.name

    def rows(
        self, wanted: Sequence[str] | None = None, pairs: PairColumns | None = None
    ) -> Generator[Row | UnusableRowError | Pairs]:
        with readable(self.name), _seekable(self.file) as stream:
            with _arrow_errors(f"{self.name}: not a readable {self.kind}"):
                batches = (
                    _parquet_batches(stream, wanted, self.name)
                    if self.kind is FileKind.PARQUET
                    else _ipc_batches(stream, self.kind, self.name)
                )
            yield from _rows(self.name, batches, "torn or corrupt", pairs)


@dataclass(frozen=True, slots=True)
class CsvSource:
    """CSV with a header, separated by commas, semicolons, tabs or bars; every cell is text, an empty one null."""

    file: DataFile

    @property
    def name(self) -> str:
        return self.file.name

    def rows(
        self,
        wanted: Sequence[str] | None = None,  # noqa: ARG002
        pairs: PairColumns | None = None,
    ) -> Generator[Row | UnusableRowError | Pairs]:
        odd: list[UnusableRowError] = []

        def lacking(row: Any) -> str:
            detail = f"{row.actual_columns} cells under {row.expected_columns} columns"
            odd.append(UnusableRowError(Reason.BROKEN, f"{self.name}, row {row.number or '?'}", detail))
            return "skip"

        with readable(self.name), self.file.open() as stream:
            head = stream.read(HEAD_BYTES)
        with readable(self.name), self.file.open() as stream:
            with _arrow_errors(f"{self.name}: not usable CSV"):
                batches = _csv_batches(stream, head, lacking, self.name)
            for row in _rows(self.name, batches, "not usable CSV", pairs):
                yield from odd
                odd.clear()
                yield row
            yield from odd


@contextmanager
def _arrow_errors(problem: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(f"{problem}: not valid UTF-8: {error.reason}. {OTHER_ENCODING}") from error
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise DataError(f"{problem}: {' '.join(str(error).split())}") from error


def _rows(name: str, batches: Iterator[Any], problem: str, pairs: PairColumns | None) -> Iterator[Row | Pairs]:
    number = 0
    while True:
        with _arrow_errors(f"{name}: {problem} after row {number}"):
            batch = next(batches, None)
            if batch is not None:
                batch.validate(full=True)  # offsets that damage has moved lead out of memory
        if batch is None:
            return
        for begin, end, plain in parts_of(batch, pairs):
            if plain is not None:
                number += end - begin
                yield plain
                continue
            with _arrow_errors(f"{name}: {problem} after row {number}"):
                rows = batch.slice(begin, end - begin).to_pylist(maps_as_pydicts="strict")
            for values in rows:
                number += 1
                yield Row(f"{name}, row {number}", values)


def _parquet_batches(stream: IO[bytes], wanted: Sequence[str] | None, name: str) -> Iterator[Any]:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(stream, page_checksum_verification=True)
    names = file.schema_arrow.names
    _refuse_double(names, name)
    columns = names if wanted is None else [name for name in names if name in roots(wanted)]
    return iter(file.iter_batches(BATCH_ROWS, columns=columns))


def _ipc_batches(stream: IO[bytes], kind: FileKind, name: str) -> Iterator[Any]:
    import pyarrow as pa

    if kind is FileKind.ARROW_STREAM:
        opened = pa.ipc.open_stream(stream)
        _refuse_double(opened.schema.names, name)
        return iter(opened)
    file = pa.ipc.open_file(stream)
    _refuse_double(file.schema.names, name)
    return (file.get_batch(index) for index in range(file.num_record_batches))


def _refuse_double(names: Sequence[str], where: str) -> None:
    """Raises: DataError: two columns are called alike: which of them is meant?"""
    double = [name for name, n in Counter(names).items() if n > 1 and name.strip()]
    if double:
        raise DataError(f"{where}: {Counter(names)[double[0]]} columns are called {double[0]!r}; rename all but one")


def _csv_batches(stream: IO[bytes], head: bytes, lacking: Any, name: str) -> Iterator[Any]:
    import pyarrow as pa
    from pyarrow import csv

    encoding = encoding_of(head)
    decoded_as = "utf-8-sig" if encoding == "utf-8" else encoding  # pyarrow would not decode UTF-8 into UTF-8
    # decoded before it is parsed: a row that is no text would be dropped without a word
    source = pa.transcoding_input_stream(pa.PythonFile(stream, mode="r"), decoded_as, "utf-8")
    header = re.split(r"\r\n?|\n", head.decode(encoding, errors="ignore").removeprefix("\ufeff"), maxsplit=1)[0]
    names = csv_header(header)
    _refuse_double(names, name)
    return iter(
        csv.open_csv(
            source,
            read_options=csv.ReadOptions(block_size=CSV_BLOCK_BYTES, use_threads=False),
            parse_options=csv.ParseOptions(
                delimiter=max(DELIMITERS, key=header.count), newlines_in_values=True, invalid_row_handler=lacking
            ),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=True,
                null_values=[""],
                quoted_strings_can_be_null=False,
            ),
        )
    )


def csv_header(line: str) -> list[str]:
    """The column names in the first line of a CSV file."""
    import csv

    delimiter = max(DELIMITERS, key=line.count)
    return next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter), [])


def roots(wanted: Sequence[str]) -> set[str]:
    """The columns in which these paths may begin."""
    return {*wanted, *(name.split(".")[0] for name in wanted)}


@contextmanager
def _seekable(file: DataFile) -> Iterator[IO[bytes]]:
    """The file itself or, where it is packed, a copy that can be read from any place."""
    with file.open() as stream:
        if not file.is_packed:
            yield stream
        else:
            with tempfile.TemporaryFile() as copy:
                shutil.copyfileobj(stream, copy)
                copy.seek(0)
                yield copy
