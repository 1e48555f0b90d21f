"""Cells by path, and cells whose text is JSON."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from typing import Any

TURN_KEYS = frozenset({"role", "from"})
LOOKS_LIKE_TURNS = re.compile(
    r"""\s*\[?\s*\{\s*(["'])(?:(?:role|from|content|value)\1\s*:|.{,200}\1(?:role|from)\1\s*:)"""
)
TEXT_KEYS = (
    "answer", "response", "text", "content", "completion", "output", "generation", "response_text", "prompt",
    "question", "instruction", "full_text",
)  # fmt: skip
ABSENT = object()


def lookup(values: Mapping[str, Any], path: str) -> Any:
    """The value under a column's name or, where none is called so, along a path into structs; else ``ABSENT``."""
    if path in values:
        return values[path]
    found: Any = values
    for part in path.split("."):
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            return ABSENT
    return found


def value_at(values: Mapping[str, Any], path: str | None) -> Any:
    """``lookup``, with None for what is absent or not asked for."""
    found = ABSENT if path is None else lookup(values, path)
    return None if found is ABSENT else found


def json_value(text: str) -> Any:
    """What a text says that is JSON for a list, a struct or a text, or a Python literal as pandas writes lists into
    CSV; else ``ABSENT``."""
    begins = text.lstrip()[:1]
    if begins not in ("[", "{", '"'):
        return ABSENT
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if begins == '"':
        return ABSENT
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ABSENT


def is_json(text: str) -> bool:
    """Whether the text is JSON for a list or a struct."""
    return text.lstrip()[:1] in ("[", "{") and json_value(text) is not ABSENT


def encodes_text(value: Any, text: str) -> bool:
    """Whether ``value``, which ``text`` says as JSON, is one text in an envelope, or several: not to be scored as it
    stands. Any other JSON may well be the answer: to a prompt that asks for some."""
    if isinstance(value, str):
        return value != text.strip()[1:-1]  # more than quotes to take away
    if isinstance(value, list):
        return bool(value) and (
            (len(value) == 1 and isinstance(value[0], str)) or all(text_of(one) is not None for one in value)
        )
    return isinstance(value, Mapping) and len(value) == 1 and text_of(value) is not None


def as_number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def is_turn(value: Any) -> bool:
    return isinstance(value, Mapping) and not TURN_KEYS.isdisjoint(value)


def text_of(item: Any) -> Any:
    """The text or turns in a struct that holds some under a usual name and is no message; else None."""
    if not isinstance(item, Mapping) or is_turn(item):
        return None
    return next((item[key] for key in TEXT_KEYS if item.get(key) is not None), None)


def is_turns(value: Any) -> bool:
    """A list of messages, or one message."""
    return is_turn(value) or (isinstance(value, list) and bool(value) and all(map(is_turn, value)))


def is_texts(value: Any) -> bool:
    """A list of plain texts, nulls among them."""
    return (
        isinstance(value, list)
        and any(isinstance(item, str) for item in value)
        and all(item is None or isinstance(item, str) for item in value)
    )


def unrolled(value: Any) -> Any:
    """A struct of lists (as ``datasets`` gives a sequence of structs) as a list of structs; anything else as it is."""
    if not isinstance(value, Mapping) or not value:
        return value
    lists = list(value.values())
    if not all(isinstance(one, list) for one in lists) or len({len(one) for one in lists}) != 1:
        return value
    return [dict(zip(value, row, strict=True)) for row in zip(*lists, strict=True)]
