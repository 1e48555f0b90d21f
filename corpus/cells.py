"""What may stand in a column: checked before a row is accepted, so that publishing it cannot fail on its content."""

from __future__ import annotations

import operator
from datetime import datetime
from numbers import Real
from typing import Any

import pyarrow as pa

from corpus.errors import InvalidRecordError

_INT64 = range(-(2**63), 2**63)


def checked(value: Any, kind: pa.DataType, where: str) -> Any:
    """``value`` as a plain Python value of this Arrow type.

    Raises:
        InvalidRecordError: wrong type, integer out of range, time without zone, text that is not valid Unicode.
    """
    if pa.types.is_list(kind):
        if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
            raise _refusal(where, value, "a sequence")
        return [checked(item, kind.value_type, f"{where}[{index}]") for index, item in enumerate(value)]
    if pa.types.is_struct(kind):
        return {field.name: checked(value[field.name], field.type, f"{where}.{field.name}") for field in kind}
    if pa.types.is_string(kind):
        return _text(value, where)
    if pa.types.is_boolean(kind):
        return _truth(value, where)
    if pa.types.is_int64(kind):
        return _integer(value, where)
    if pa.types.is_float64(kind):
        return _number(value, where)
    return _time(value, where)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _refusal(where, value, "a string")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidRecordError(
            f"{where} is not valid Unicode: lone surrogate at position {error.start}. "
            "Decode the text with errors='replace' before storing it"
        ) from error
    return value


def _truth(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _refusal(where, value, "true or false")
    return value


def _integer(value: Any, where: str) -> int:
    try:
        whole = operator.index(value)
    except TypeError as error:
        raise _refusal(where, value, "an integer") from error
    if whole not in _INT64:
        raise _refusal(where, value, "an integer of 64 bits")
    return whole


def _number(value: Any, where: str) -> float:
    if not isinstance(value, Real):
        raise _refusal(where, value, "a number")
    return float(value)


def _time(value: Any, where: str) -> datetime:
    if not isinstance(value, datetime):
        raise _refusal(where, value, "a datetime")
    if value.tzinfo is None:
        raise _refusal(where, value, "a time with its zone, such as datetime.now(UTC)")
    return value


def _refusal(where: str, value: Any, expected: str) -> InvalidRecordError:
    return InvalidRecordError(f"{where} is {value!r:.80} ({type(value).__name__}), expected {expected}")
