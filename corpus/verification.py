"""Checking every segment, and setting damaged ones aside when asked to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from corpus.durable import make_folder, retried, sync, write_error
from corpus.errors import DamagedSegmentError, SchemaVersionError
from corpus.scan import stable_listing
from corpus.schema import TABLES
from corpus.segments import read_segment
from corpus.working_copy import refuse_a_store

DAMAGED = "damaged"

State = Literal["ok", "damaged", "newer_schema"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentReport:
    """One segment's health. ``rows`` is None, and ``problem`` says why, unless the state is ``ok``."""

    table: str
    path: Path
    bytes: int
    state: State
    rows: int | None
    problem: str | None

    @property
    def ok(self) -> bool:
        return self.state == "ok"


def verify_corpus(root: Path) -> list[SegmentReport]:
    """A report on every segment, none left out: the bytes against the hash in the name, every page, every column."""
    reports = []
    for table in TABLES:
        for name in stable_listing(root / table):
            report = _verify(root / table / name, table)
            if report is not None:
                reports.append(report)
    return reports


def set_aside(root: Path, reports: Iterable[SegmentReport]) -> list[Path]:
    """Moves the damaged segments among these to ``<corpus>/damaged/<table>/`` and says where they are now.

    Raises:
        CorpusWriteError: one could not be moved.
    """
    refuse_a_store(root, "quarantine")
    damaged = [report for report in reports if report.state == "damaged"]
    return [_move(report.path, root / DAMAGED / report.table) for report in damaged]


def _verify(path: Path, table: str) -> SegmentReport | None:
    """The segment's report; None if compaction deleted it since it was listed."""
    state: State = "ok"
    rows = problem = None
    try:
        size = path.stat().st_size
        rows = len(read_segment(path, TABLES[table]))
    except FileNotFoundError:
        return None
    except DamagedSegmentError as error:
        state, problem = "damaged", str(error)
    except SchemaVersionError as error:
        state, problem = "newer_schema", str(error)
    return SegmentReport(table=table, path=path, bytes=size, state=state, rows=rows, problem=problem)


def _move(path: Path, folder: Path) -> Path:
    try:
        make_folder(folder)
        target = folder / path.name
        number = 1
        while target.exists():
            number += 1
            target = folder / f"{path.name}.{number}"
        retried(lambda: path.rename(target))
        sync(folder)
        sync(path.parent)
    except OSError as error:
        raise write_error(folder, error) from error
    return target
