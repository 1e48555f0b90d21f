"""The rows in one JSON object that holds them all: under a key, as columns, or as pandas and the hub's viewer write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from miner.data.cells import is_turns

HOLDERS = ("data", "rows", "examples", "instances", "items", "records", "samples", "pairs", "dataset", "conversations")


OF_ROWS = frozenset(
    {"prompt", "chosen", "rejected", "messages", "conversations", "instruction", "question", "completion", "input"}
)


def rows_within(value: Mapping[str, Any], split: str) -> list[Any] | None:
    """The rows that an object holds, those of ``split`` where they lie by split; None for an object that is a row."""
    if table := _split_table(value):
        return table
    for name in (split, *HOLDERS):
        if _is_rows(value.get(name)) and not is_turns(value[name]):
            return _unwrapped(value[name])
    holders = [rows for rows in value.values() if _is_rows(rows) and not is_turns(rows) and _are_wrapped_or_usual(rows)]
    if len(holders) == 1 and OF_ROWS.isdisjoint(value):
        return _unwrapped(holders[0])
    return _columns(value) or _keyed(value)


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _are_wrapped_or_usual(rows: list[Any]) -> bool:
    return "row" in rows[0] or not any(OF_ROWS.isdisjoint(row) for row in rows)


def _unwrapped(rows: list[Any]) -> list[Any]:
    """The hub's viewer wraps each row: {row_idx, row, truncated_cells}."""
    wrapped = all(isinstance(row.get("row"), Mapping) and "row_idx" in row for row in rows)
    return [row["row"] for row in rows] if wrapped else rows


def _split_table(value: Mapping[str, Any]) -> list[Any] | None:
    """pandas' ``orient="split"``: columns, index, data."""
    names, rows = value.get("columns"), value.get("data")
    if not isinstance(names, list) or not isinstance(rows, list) or not all(isinstance(name, str) for name in names):
        return None
    if not rows or not all(isinstance(row, list) and len(row) == len(names) for row in rows):
        return None
    return [dict(zip(names, row, strict=True)) for row in rows]


def _columns(value: Mapping[str, Any]) -> list[Any] | None:
    """Columns of lists of one length, several rows or texts in each; a single row's lists of turns are none."""
    cells: Sequence[Any] = list(value.values())
    if len(cells) < 2 or not all(isinstance(cell, list) and cell for cell in cells):
        return None
    if len({len(cell) for cell in cells}) != 1 or any(is_turns(cell) for cell in cells):
        return None
    return [dict(zip(value, row, strict=True)) for row in zip(*cells, strict=True)]


def _keyed(value: Mapping[str, Any]) -> list[Any] | None:
    """pandas' ``orient="columns"`` ({column: {index: cell}}) and ``"index"`` ({index: row})."""
    inner = list(value.values())
    if not inner or not all(isinstance(one, Mapping) and one for one in inner):
        return None
    if all(str(key).isdecimal() for one in inner for key in one):
        keys = list(dict.fromkeys(key for one in inner for key in one))
        return [{name: one.get(key) for name, one in value.items()} for key in keys]
    return inner if len(inner) > 1 and all(str(key).isdecimal() for key in value) else None
