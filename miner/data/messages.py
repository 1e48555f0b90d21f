"""One cell of preference data, as text or as turns, checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeGuard

from corpus.records import Conversation, Message
from miner.data.cells import ABSENT, LOOKS_LIKE_TURNS, encodes_text, is_turns, json_value, literal_value, unrolled
from miner.data.roles import ROLES, role_named
from miner.data.rows import Reason, UnusableRowError
from miner.data.transcripts import OPEN_END, is_open_transcript, is_transcript, loose_turns, transcript_turns

Cell = str | Conversation

ROLE_KEYS = ("from", "role", "speaker", "author")
CONTENT_KEYS = ("value", "content", "text", "message")
CALL_KEYS = ("tool_calls", "function_call")
TEXT_PARTS = frozenset({"text", "input_text", "output_text"})


def is_plain(value: Any) -> TypeGuard[str]:
    """Whether this is text that can say nothing but itself: no JSON, no transcript, no space before it, no broken
    Unicode."""
    if not isinstance(value, str):
        return False
    begins = value[:1]
    if begins in '[{"' or begins.isspace() or value.rstrip().endswith(OPEN_END):  # "" is in every text
        return False
    return value.isascii() or _is_valid(value)


def read_cell(value: Any, where: str, *, calls_as_text: bool = False, keep_json_text: bool = False) -> Cell:
    """Plain text, or the turns of a list of messages, of one message or of a transcript; turns as JSON text, too.

    Raises:
        UnusableRowError: another type, an unknown role, a turn without text, text that is not valid Unicode, or JSON
            text of something else.
    """
    if is_plain(value):
        return value
    value = unrolled(value)
    if isinstance(value, str) and not keep_json_text:
        value = _decoded(value, where)
    if isinstance(value, str):
        text = valid_text(value, where)
        if is_transcript(text):
            return transcript_turns(text)
        return loose_turns(text) or text if is_open_transcript(text) else text
    if isinstance(value, Mapping) and value:
        value = [value]
    if isinstance(value, list) and value:
        return tuple(
            _message(turn, f"{where}, turn {number}", calls_as_text) for number, turn in enumerate(value, start=1)
        )
    raise UnusableRowError(
        Reason.NOTHING if value is None else Reason.CELL,
        where,
        f"expected text or a list of {{role, content}} turns; got {shown(value)}",
    )


def valid_text(value: str, where: str) -> str:
    """``value``, which can be stored and tokenised.

    Raises:
        UnusableRowError: it holds half of a surrogate pair.
    """
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half = f"U+{ord(value[error.start]):04X}"
        detail = f"not valid Unicode: lone surrogate {half} at character {error.start + 1}"
        raise UnusableRowError(Reason.UNICODE, where, detail) from error
    return value


def _is_valid(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(value: object) -> str:
    """A short name of a value in a message."""
    if value is None:
        return "null"
    if isinstance(value, (str, int, float)):
        return f"{type(value).__name__} {value!r:.40}"
    return f"an empty {type(value).__name__}" if value in ([], {}) else type(value).__name__


def _decoded(text: str, where: str) -> Any:
    """The turns that a cell spells out as JSON text, or the text itself where it is none."""
    spelt = LOOKS_LIKE_TURNS.match(text)
    found = literal_value(text) if spelt else json_value(text)
    if is_turns(found):
        return found
    if found is ABSENT and spelt:
        raise UnusableRowError(Reason.JSON_TEXT, where, f"looks like turns as JSON text and is none: {text!r:.60}")
    if encodes_text(found, text):
        detail = f"JSON text: {text!r:.60}. Where it is meant to be text: --set data.json_text=keep"
        raise UnusableRowError(Reason.JSON_TEXT, where, detail)
    return text


def _first(turn: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """The first of these keys that is not null: Arrow gives every struct all keys."""
    return next((turn[name] for name in names if turn.get(name) is not None), None)


def _message(turn: Any, where: str, calls_as_text: bool) -> Message:
    """``{role, content}``, or ShareGPT's ``{from, value}``."""
    if not isinstance(turn, Mapping):
        raise UnusableRowError(Reason.CELL, where, f"expected {{role, content}}; got {shown(turn)}")
    name = _first(turn, ROLE_KEYS)
    role = role_named(name) if isinstance(name, str) else None
    if role is None:
        detail = f"expected a role of {', '.join(ROLES)}, or a known name of one; got {shown(name)}"
        raise UnusableRowError(Reason.ROLE, where, detail)
    content = _first(turn, CONTENT_KEYS)
    if calls := _first(turn, CALL_KEYS):
        if not calls_as_text:
            hint = "it calls a tool; data.tool_calls='as_text' shows calls as text"
            raise UnusableRowError(Reason.TOOL_CALL, where, hint)
        content = "\n".join(filter(None, (_content(content or "", where), _call_text(calls))))
    return Message(role=role, content=_content(content, where))


def _call_text(calls: Any) -> str:
    listed = calls if isinstance(calls, list) else [calls]
    called = [call.get("function", call) if isinstance(call, Mapping) else call for call in listed]
    return "\n".join(json.dumps(call, ensure_ascii=False, default=str) for call in called)


def _content(content: Any, where: str) -> str:
    """Text, or a list of parts that are all text."""
    if isinstance(content, str):
        return valid_text(content, where)
    if isinstance(content, list) and content:
        return valid_text("".join(_part(part, where) for part in content), where)
    reason = Reason.NO_TEXT if content is None or content == [] else Reason.CELL
    raise UnusableRowError(reason, where, f"expected text as content; got {shown(content)}")


def _part(part: Any, where: str) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping):
        kind, text = part.get("type"), part.get("text")
        if isinstance(text, str) and (kind is None or kind in TEXT_PARTS):
            return text
        if isinstance(kind, str) and kind not in TEXT_PARTS:
            raise UnusableRowError(Reason.MEDIA, where, f"expected text as content; got a part of type {kind!r:.40}")
    raise UnusableRowError(Reason.CELL, where, f"expected text as content; got a part that is {shown(part)}")
