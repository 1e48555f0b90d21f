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
CLOSING = {"[": "]", "{": "}", '"': '"'}


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
    """What a text says that is JSON for a list, a struct or a text; else ``ABSENT``."""
    begins, ends = text.lstrip()[:1], text.rstrip()[-1:]
    if CLOSING.get(begins) != ends:
        return ABSENT
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return ABSENT


def literal_value(text: str) -> Any:
    """As ``json_value``, or what a Python literal of a list or a struct says, as pandas writes them into CSV. Reading
    one is slow: for texts that look like it."""
    found = json_value(text)
    if found is not ABSENT or CLOSING.get(text.lstrip()[:1]) != text.rstrip()[-1:] or text.lstrip()[:1] == '"':
        return found
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ABSENT


def is_json(text: str) -> bool:
    """Whether the text is JSON for a list or a struct."""
    return isinstance(json_value(text), (list, dict))


def encodes_text(value: Any, text: str) -> bool:
    """Whether ``value``, which ``text`` says as JSON, is one text in an envelope, or several: not to be scored as it
    stands. Any other JSON may well be the answer: to a prompt that asks for some."""
    if isinstance(value, str):
        return value != text.strip()[1:-1]  # more than quotes to take away
    if isinstance(value, list):
        one_text = len(value) == 1 and isinstance(value[0], str)
        return one_text or (bool(value) and all(map(is_envelope, value)))
    return is_envelope(value)


def is_envelope(value: Any) -> bool:
    """A struct with one text under a usual name and nothing else, but for a type."""
    if not isinstance(value, Mapping):
        return False
    held = {key: one for key, one in value.items() if key != "type"}
    return len(held) == 1 and all(key in TEXT_KEYS and isinstance(one, str) for key, one in held.items())


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
