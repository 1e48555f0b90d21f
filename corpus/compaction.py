"""Compaction: many small segments become few large ones, while others read and write.

A merged segment is published under a fresh name before its sources are deleted, and nobody deletes a segment that
was published after its own merged one. So every row is in some segment at any moment, whoever is killed when, and
however many compactors run. Merged rows say which segment first published them, so that the merge does not change
which of two rows with one id counts, nor what a view of some segments holds.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from corpus.durable import remove_stale_temporaries, retried, sync, write_error
from corpus.scan import each_publication, stable_listing
from corpus.schema import TableSpec
from corpus.segments import publish_segment, read_segment
from corpus.working_copy import refuse_a_store


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionReport:
    """What a compaction did: segments and bytes before and after, and abandoned temporary files deleted."""

    segments_before: int = 0
    segments_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    stale_files_removed: int = 0

    def __add__(self, other: CompactionReport) -> CompactionReport:
        return CompactionReport(
            segments_before=self.segments_before + other.segments_before,
            segments_after=self.segments_after + other.segments_after,
            bytes_before=self.bytes_before + other.bytes_before,
            bytes_after=self.bytes_after + other.bytes_after,
            stale_files_removed=self.stale_files_removed + other.stale_files_removed,
        )


def compact_table(folder: Path, spec: TableSpec, target_bytes: int) -> CompactionReport:
    """Merges the segments of one table into segments of about ``target_bytes``.

    Raises:
        DamagedSegmentError, SchemaVersionError: from a source; it and its group are left as they are.
        CorpusWriteError: no space for the merged segment; its sources are left as they are.
    """
    refuse_a_store(folder, "compact")
    if not folder.is_dir():
        return CompactionReport()
    sizes = _sizes(folder)
    after = dict(sizes)
    for group in _groups(sizes, target_bytes):
        merged = _merge(folder, spec, group)
        if merged is not None:
            after = {name: size for name, size in after.items() if name not in group}
            after[merged.name] = merged.stat().st_size
    return CompactionReport(
        segments_before=len(sizes),
        segments_after=len(after),
        bytes_before=sum(sizes.values()),
        bytes_after=sum(after.values()),
        stale_files_removed=remove_stale_temporaries(folder),
    )


def _sizes(folder: Path) -> dict[str, int]:
    sizes = {}
    for name in stable_listing(folder):
        with suppress(FileNotFoundError):
            sizes[name] = (folder / name).stat().st_size
    return sizes


def _groups(sizes: dict[str, int], target_bytes: int) -> list[list[str]]:
    """Segments to merge with each other: neighbours in age, none of them large already."""
    groups: list[list[str]] = []
    current: list[str] = []
    current_bytes = 0
    for name, size in sizes.items():
        if size > target_bytes // 2:
            continue
        if current_bytes + size > target_bytes:
            groups.append(current)
            current, current_bytes = [], 0
        current.append(name)
        current_bytes += size
    return [group for group in (*groups, current) if len(group) > 1]


def _merge(folder: Path, spec: TableSpec, names: list[str]) -> Path | None:
    """Publishes the group's rows as one segment and deletes the group; None if another compactor was faster."""
    try:
        tables = [read_segment(folder / name, spec) for name in names]
    except FileNotFoundError:
        return None
    rows = each_publication(tables, spec)
    merged = publish_segment(folder, _stored(rows, spec))
    try:
        for name in names:
            with suppress(FileNotFoundError):
                retried((folder / name).unlink)
        sync(folder)
    except OSError as error:
        raise write_error(folder, error) from error
    return merged


def _stored(rows: pa.Table, spec: TableSpec) -> pa.Table:
    """The rows with the nullability they were published with."""
    origin = rows.schema.field(rows.num_columns - 1)
    return rows.cast(pa.schema([*spec.schema, origin]))
