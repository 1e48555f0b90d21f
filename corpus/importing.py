"""Taking rows over from another corpus or from an export; doing it again changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from corpus.errors import ImportRowsError, InvalidRecordError, SchemaVersionError
from corpus.records import SCHEMA_VERSION
from corpus.rows import record_of, row_of
from corpus.scan import row_keys, scan
from corpus.schema import MAY_BE_NULL, TABLES, TableSpec
from corpus.segments import publish_segment
from corpus.working_copy import folders_in

_ROWS_PER_SEGMENT = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """Rows by table: those added, and those that were here already."""

    added: dict[str, int] = field(default_factory=dict)
    already_here: dict[str, int] = field(default_factory=dict)


def import_rows(root: Path, source: Path) -> ImportReport:
    """Publishes the rows of ``source`` that are not here yet: a corpus, JSON lines of full finding rows, or the folder
    that an export of these wrote.

    Raises:
        ImportRowsError: it is neither, or a line of it is not a finding row; the message names the line. Of a file
            over 50,000 lines, the rows before it may be here already: correct the line and import again.
        DamagedSegmentError, SchemaVersionError: from the source.
    """
    if source.is_dir():
        if folders_in(source).isdisjoint(TABLES):
            return _add(root, (("findings", batch) for file in _exported(source) for batch in _jsonl_batches(file)))
        batches = ((name, scan(source / name, spec)) for name, spec in TABLES.items())
        return _add(root, batches)
    if not source.is_file():
        raise ImportRowsError(f"{source} does not exist; expected a corpus folder or a .jsonl file of findings")
    return _add(root, (("findings", batch) for batch in _jsonl_batches(source)))


def _exported(folder: Path) -> list[Path]:
    """The files of full rows in a folder that ``export`` wrote."""
    found = sorted((folder / "data").glob("*.jsonl"))
    if not found:
        held = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise ImportRowsError(
            f"{folder} is no corpus: it holds none of the folders {', '.join(TABLES)}, nor data/*.jsonl as export "
            f"--format jsonl writes it, but {held}"
        )
    return found


def _add(root: Path, batches: Iterator[tuple[str, pa.Table]]) -> ImportReport:
    added = dict.fromkeys(TABLES, 0)
    already = dict.fromkeys(TABLES, 0)
    for name, rows in batches:
        spec = TABLES[name]
        known = row_keys(scan(root / name, spec, spec.key), spec)
        fresh = rows.filter(pc.invert(pc.is_in(row_keys(rows, spec), known.combine_chunks())))
        for start in range(0, len(fresh), _ROWS_PER_SEGMENT):
            publish_segment(root / name, fresh.slice(start, _ROWS_PER_SEGMENT).cast(spec.schema))
        added[name] += len(fresh)
        already[name] += len(rows) - len(fresh)
    return ImportReport(added=added, already_here=already)


def _jsonl_batches(source: Path) -> Iterator[pa.Table]:
    spec = TABLES["findings"]
    with source.open(encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
        numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
        while rows := [
            _finding_row(spec, source, number, line) for number, line in islice(numbered, _ROWS_PER_SEGMENT)
        ]:
            unique = {row["finding_id"]: row for row in reversed(rows)}
            yield pa.Table.from_pylist(list(reversed(unique.values())), schema=spec.schema)


def _finding_row(spec: TableSpec, source: Path, number: int, line: str) -> dict[str, Any]:
    where = f"{source}, line {number}"
    try:
        return row_of(record_of(spec, _completed(spec, json.loads(line), where)))
    except (ValueError, TypeError, KeyError, AttributeError, InvalidRecordError) as error:
        raise ImportRowsError(f"{where} is not a finding row: {error}") from error


def _completed(spec: TableSpec, row: dict[str, Any], where: str) -> dict[str, Any]:
    """The row as the table holds it: what JSON cannot say put back."""
    if row.get("schema_version", 0) > SCHEMA_VERSION:
        raise SchemaVersionError(f"{where} has schema version {row['schema_version']}; upgrade: pip install -U rmminer")
    missing = set(spec.schema.names) - set(row) - MAY_BE_NULL
    if missing:
        raise ImportRowsError(f"{where} is not a finding row: it lacks {', '.join(sorted(missing))}")
    params = row["attack_params"]
    return {
        **dict.fromkeys(MAY_BE_NULL),
        **row,
        "attack_params": params if isinstance(params, str) else json.dumps(params),
        "certificate": [_verdict(verdict) for verdict in row["certificate"]],
        "created_at": datetime.fromisoformat(row["created_at"]),
    }


def _verdict(verdict: dict[str, Any]) -> dict[str, Any]:
    return {name: float("nan") if value is None else value for name, value in verdict.items()}
