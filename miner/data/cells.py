"""Cells by path, and cells whose text is JSON."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from typing import Any

TURN_KEYS = frozenset({"role", "from"})
LOOKS_LIKE_TURNS = re.compile(r"""\s*\[?\s*\{\s*(["'])(role|from|content|value)\1\s*:""")
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


def parsed_text(text: str) -> Any:
    """What a text says that is JSON, or a Python literal as pandas writes lists into CSV; else ``ABSENT``."""
    if text.lstrip()[:1] not in ("[", "{"):
        return ABSENT
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ABSENT


def is_turn(value: Any) -> bool:
    return isinstance(value, Mapping) and not TURN_KEYS.isdisjoint(value)


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


def is_json_text(value: Any) -> bool:
    """Text that holds a list of texts: plain where a column has it now and then, an encoding where every cell has."""
    return isinstance(value, str) and is_texts(parsed_text(value))


def unrolled(value: Any) -> Any:
    """A struct of lists (as ``datasets`` gives a sequence of structs) as a list of structs; anything else as it is."""
    if not isinstance(value, Mapping) or not value:
        return value
    lists = list(value.values())
    if not all(isinstance(one, list) for one in lists) or len({len(one) for one in lists}) != 1:
        return value
    return [dict(zip(value, row, strict=True)) for row in zip(*lists, strict=True)]
