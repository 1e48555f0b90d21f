"""Finding rows as preference pairs, JSON lines, CSV and Parquet."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from corpus.schema import TABLES
from corpus.segments import encode

_FORMULA_STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # full-width forms too


def pair_of(row: dict[str, Any], *, margin: bool) -> dict[str, Any]:
    """A preference pair in TRL's explicit-prompt conversational layout: the reference chosen, the finding rejected."""
    pair = {
        "prompt": row["prompt"],
        "chosen": [{"role": "assistant", "content": row["reference"]}],
        "rejected": [{"role": "assistant", "content": row["response"]}],
    }
    return {**pair, "margin": row["margin"]} if margin else pair


def plain_row(row: dict[str, Any]) -> dict[str, Any]:
    """The row as JSON can hold it: times in ISO 8601; NaN and infinities, which JSON lacks, as null."""
    plain: dict[str, Any] = _plain(row)
    return plain


def jsonl_bytes(rows: Sequence[dict[str, Any]]) -> bytes:
    """One line of pure-ASCII JSON per row, so that no character of a text can be taken for a line's end."""
    return "".join(json.dumps(_plain(row), allow_nan=False) + "\n" for row in rows).encode("ascii")


def csv_bytes(rows: Sequence[dict[str, Any]]) -> bytes:
    """CSV with a header; nested cells as JSON, text that a spreadsheet would run as a formula quoted with ``'``."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n", quoting=csv.QUOTE_NONNUMERIC)
    columns = TABLES["findings"].schema.names
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row[column]) for column in columns])
    return text.getvalue().encode()


def parquet_bytes(rows: Sequence[dict[str, Any]]) -> bytes:
    """A Parquet file with the columns of the findings table."""
    return encode(pa.Table.from_pylist(list(rows), schema=TABLES["findings"].schema))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.isoformat() if isinstance(value, datetime) else value


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        value = json.dumps(_plain(value), ensure_ascii=False)
    if isinstance(value, datetime):
        value = value.isoformat()
    return csv_text(value) if isinstance(value, str) else value


def csv_text(text: str) -> str:
    """``text`` as a cell: quoted with ``'`` where a spreadsheet would run it as a formula."""
    risky = text.startswith(("\t", "\r", "\n")) or text.lstrip().startswith(_FORMULA_STARTS)
    return "'" + text if risky else text
