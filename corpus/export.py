"""Handing findings on: as preference pairs for training, or as full rows in common formats, with a dataset card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa

from corpus.card import dataset_card
from corpus.durable import publish_folder, write_error
from corpus.errors import ExportError
from corpus.formats import csv_bytes, jsonl_bytes, pair_of, parquet_bytes, plain_row
from corpus.locations import location_of
from corpus.records import Split

ExportFormat = Literal["trl", "jsonl", "csv", "datasets"]

TRAINING_SPLITS: tuple[Split, ...] = ("train",)
_EXISTS = "{out} exists already; name a new folder, or delete it first"
_SUFFIX: dict[ExportFormat, str] = {"trl": "jsonl", "jsonl": "jsonl", "csv": "csv", "datasets": "parquet"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What was written: rows by split; what was not: findings without a reference, of other splits, overruled."""

    path: Path
    rows: dict[str, int]
    without_reference: int
    other_splits: int
    overruled: int = 0


def export_findings(
    findings: pa.Table, fmt: ExportFormat, out: Path, *, splits: Sequence[Split], margin: bool
) -> ExportReport:
    """Writes ``out/README.md`` and one file per split under ``out/data``; all of it or nothing.

    Raises:
        ExportError: nothing to write, an unknown format, or ``out`` holds something already.
        CorpusWriteError: no space, no permission.
    """
    if fmt not in _SUFFIX:
        raise ExportError(f"no export format {fmt!r}; there are: {', '.join(get_args(ExportFormat))}")
    require_new(out)
    rows = findings.to_pylist()
    chosen = [row for row in rows if row["split"] in splits]
    usable = [row for row in chosen if fmt != "trl" or row["reference"] is not None]
    if not usable:
        raise ExportError(_nothing(rows, chosen, splits))
    by_split = {split: [row for row in usable if row["split"] == split] for split in dict.fromkeys(splits)}
    by_split = {split: part for split, part in by_split.items() if part}
    report = ExportReport(
        path=out,
        rows={split: len(part) for split, part in by_split.items()},
        without_reference=len(chosen) - len(usable),
        other_splits=len(rows) - len(chosen),
    )
    files = {f"data/{split}.{_SUFFIX[fmt]}": _encoder(fmt, margin)(part) for split, part in by_split.items()}
    card = dataset_card(usable, fmt, {split: f"data/{split}.{_SUFFIX[fmt]}" for split in by_split}, margin=margin)
    _write_folder(out, {**files, "README.md": card.encode()})
    return report


def require_new(out: Path) -> None:
    """Refuse to export to what holds something already.

    Raises:
        ExportError: it does, or is no folder of this machine.
    """
    if location_of(out) is not None:
        raise ExportError("an export is a folder on this machine. Name one, and copy it to the store afterwards")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ExportError(_EXISTS.format(out=out))


def _encoder(fmt: ExportFormat, margin: bool) -> Callable[[list[dict[str, Any]]], bytes]:
    if fmt == "trl":
        return lambda rows: jsonl_bytes([pair_of(row, margin=margin) for row in rows])
    if fmt == "jsonl":
        return lambda rows: jsonl_bytes([plain_row(row) for row in rows])
    return csv_bytes if fmt == "csv" else parquet_bytes


def _nothing(rows: list[Any], chosen: list[Any], splits: Sequence[Split]) -> str:
    if not rows:
        return "the corpus holds no findings yet; nothing to export"
    if not chosen:
        return f"none of the {len(rows)} findings is in split {', '.join(splits)}; choose other splits"
    return f"none of the {len(chosen)} findings has a reference, so there are no pairs; export 'jsonl' instead of 'trl'"


def _write_folder(out: Path, files: dict[str, bytes]) -> None:
    def fill(folder: Path) -> None:
        for name, content in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)

    try:
        first = publish_folder(out, fill)
    except OSError as error:
        raise write_error(out, error) from error
    if not first:
        raise ExportError(_EXISTS.format(out=out))
