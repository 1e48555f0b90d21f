"""Reading a table: the union of its segments, each row once, whoever is writing or compacting meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus.errors import CorpusReadError
from corpus.schema import TableSpec
from corpus.segments import ORIGIN, SUFFIX, read_segment, segment_names
from corpus.working_copy import fetched_from

_MAX_ATTEMPTS = 1000
_PAUSE_S = 0.01


def scan(
    folder: Path,
    spec: TableSpec,
    columns: tuple[str, ...] | None = None,
    *,
    only: frozenset[str] | None = None,
) -> pa.Table:
    """The wanted columns of every row, in order of publication; of rows with one key, the first published.

    ``only`` are the names of the segments that count, merged into others by now or not.

    Raises:
        DamagedSegmentError, SchemaVersionError: from the segment in question.
        CorpusReadError: segments kept vanishing.
    """
    wanted = columns or tuple(spec.schema.names)
    read = tuple(dict.fromkeys((*wanted, *spec.key)))
    if only is not None:
        fetched_from(folder, only)  # whatever the store lists
    tables = list(read_segments(folder, spec, read).values())
    if only is not None:
        counted = pa.array([name.removesuffix(SUFFIX) for name in only], pa.string())
        tables = [table.filter(pc.is_in(table.column(ORIGIN), counted)) for table in tables]
    return first_published(tables, spec, read).select(list(wanted))


def published_in(folder: Path, spec: TableSpec) -> tuple[str, ...]:
    """The names under which the segments of every row were published, merged by now or not. Errors as ``scan``."""
    tables = read_segments(folder, spec, spec.key).values()
    origins = {origin for table in tables for origin in pc.unique(table.column(ORIGIN)).to_pylist()}
    return tuple(sorted(f"{origin}{SUFFIX}" for origin in origins))


def read_segments(
    folder: Path, spec: TableSpec, columns: tuple[str, ...], *, known: Collection[str] = ()
) -> dict[str, pa.Table]:
    """Segments by name, oldest first, that together hold every row published before the call that is in none of those
    ``known``. Errors as ``scan``."""
    segments: dict[str, pa.Table] = {}
    for _ in range(_MAX_ATTEMPTS):
        names = [name for name in stable_listing(folder) if name not in known]
        try:
            for name in names:
                if name not in segments:
                    segments[name] = read_segment(folder / name, spec, columns)
        except FileNotFoundError:
            continue  # compacted away since it was listed; what replaced it is there now
        return {name: segments[name] for name in names}
    raise CorpusReadError(f"segments in {folder} vanish as fast as they are listed; is something else deleting them?")


def stable_listing(folder: Path) -> list[str]:
    """Names of segments that together hold every row published before the call.

    A folder's listing is not atomic: it can miss a merged segment that appears during it *and* the merged-away ones
    that are deleted during it. Compaction deletes only after it published, so once nothing has vanished between two
    listings, the second one is whole.
    """
    fetched_from(folder)
    before = _listing(folder)
    for _ in range(_MAX_ATTEMPTS):
        after = _listing(folder)
        if set(before) <= set(after):
            return after
        before = after
        time.sleep(_PAUSE_S)
    raise CorpusReadError(f"segments in {folder} vanish as fast as they are listed; is something else deleting them?")


def _listing(folder: Path) -> list[str]:
    try:
        return segment_names(folder)
    except OSError as error:
        raise CorpusReadError(f"cannot list {folder}: {error.strerror}; a corpus is a folder of folders") from error


def first_published(tables: list[pa.Table], spec: TableSpec, columns: tuple[str, ...]) -> pa.Table:
    """The tables' rows in order of publication, each key once, with ``ORIGIN`` last."""
    return _firsts(tables, spec, columns, row_keys)


def each_publication(tables: list[pa.Table], spec: TableSpec) -> pa.Table:
    """The tables' rows in order of publication, once for every segment that published them, with ``ORIGIN`` last: a
    view of some segments needs those that others came before."""

    def keys(table: pa.Table, spec: TableSpec) -> pa.ChunkedArray:
        return pc.binary_join_element_wise(row_keys(table, spec), table.column(ORIGIN), "\0")

    return _firsts(tables, spec, tuple(spec.schema.names), keys)


def _firsts(
    tables: list[pa.Table],
    spec: TableSpec,
    columns: tuple[str, ...],
    keys_of: Callable[[pa.Table, TableSpec], pa.ChunkedArray],
) -> pa.Table:
    if not tables:
        fields = [spec.schema.field(name).with_nullable(True) for name in columns]
        return pa.schema([*fields, pa.field(ORIGIN, pa.string())]).empty_table()
    merged = pa.concat_tables(tables)
    origins = merged.column(ORIGIN).to_numpy(zero_copy_only=False).astype(str)
    merged = merged.take(pa.array(np.argsort(origins, kind="stable")))
    keys = keys_of(merged, spec).dictionary_encode()
    codes = pa.chunked_array([chunk.indices for chunk in keys.unify_dictionaries().chunks], pa.int32())
    _, first = np.unique(codes.to_numpy(), return_index=True)
    return merged.take(pa.array(np.sort(first)))


def row_keys(table: pa.Table, spec: TableSpec) -> pa.ChunkedArray:
    """What identifies each row, as one string."""
    if len(spec.key) == 1:
        return table.column(spec.key[0])
    return pc.binary_join_element_wise(*(table.column(name).cast(pa.string()) for name in spec.key), "\0")
