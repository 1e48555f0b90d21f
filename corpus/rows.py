"""Records to rows and back, without loss: what ``record_of(row_of(record))`` gives is equal to the record."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pyarrow as pa

from corpus.cells import checked
from corpus.errors import InvalidRecordError
from corpus.records import SCHEMA_VERSION, Message, Prompt, Verdict
from corpus.schema import MAY_BE_NULL, TABLES, Record, TableSpec

_COLUMN_OF_FIELD = {"conversation": "prompt"}
_SPEC_OF_RECORD = {spec.record: spec for spec in TABLES.values()}


def spec_of(record: Record) -> TableSpec:
    """The table a record belongs to.

    Raises:
        InvalidRecordError: it is no kind of record.
    """
    spec = _SPEC_OF_RECORD.get(type(record))
    if spec is None:
        kinds = ", ".join(kind.__name__ for kind in _SPEC_OF_RECORD)
        raise InvalidRecordError(f"got a {type(record).__name__}, expected one of: {kinds}")
    return spec


def row_of(record: Record) -> dict[str, Any]:
    """The row that stores a record, checked: whatever this returns can be published.

    Raises:
        InvalidRecordError: text with lone surrogates, a missing value, a wrong type, a number out of range.
    """
    spec = spec_of(record)
    row: dict[str, Any] = {"schema_version": SCHEMA_VERSION}
    for field in dataclasses.fields(record):
        column = _COLUMN_OF_FIELD.get(field.name, field.name)
        row[column] = _encoded(spec, column, spec.schema.field(column).type, getattr(record, field.name))
    if isinstance(record, Prompt):
        row["prompt_id"] = record.prompt_id
    return row


def record_of(spec: TableSpec, row: dict[str, Any]) -> Record:
    """The record that a stored row holds."""
    values = {}
    for field in dataclasses.fields(spec.record):
        column = _COLUMN_OF_FIELD.get(field.name, field.name)
        values[field.name] = _decoded(column, row[column])
    return spec.record(**values)


def _encoded(spec: TableSpec, column: str, kind: pa.DataType, value: Any) -> Any:
    where = f"{spec.record.__name__}.{column}"
    if value is None:
        if column in MAY_BE_NULL:
            return None
        raise InvalidRecordError(f"{where} is None, expected {kind}")
    if column == "attack_params":
        value = _canonical_json(value, where)
    elif column in ("prompt", "certificate"):
        value = _parts(value, where)
    return checked(value, kind, where)


def _parts(value: Any, where: str) -> list[dict[str, Any]]:
    try:
        return [dataclasses.asdict(part) for part in value]
    except TypeError as error:
        raise InvalidRecordError(f"{where} is {value!r:.80}, expected a tuple of Message or Verdict") from error


def _canonical_json(params: Any, where: str) -> str:
    try:
        return json.dumps(dict(params), sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidRecordError(f"{where} is not JSON: {error}") from error


def _decoded(column: str, value: Any) -> Any:
    if column == "attack_params":
        return json.loads(value)
    if column == "prompt":
        return tuple(Message(**turn) for turn in value)
    if column == "certificate":
        return tuple(Verdict(**verdict) for verdict in value)
    return tuple(value) if isinstance(value, list) else value
