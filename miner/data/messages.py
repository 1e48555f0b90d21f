"""One cell of preference data, as text or as turns, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corpus.records import Conversation, Message
from miner.data.transcripts import is_transcript, transcript_turns
from miner.errors import DataError

Cell = str | Conversation

ROLE_NAMES = {"human": "user", "gpt": "assistant"}
ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


def read_cell(value: Any, where: str) -> Cell:
    """Plain text, or the turns of a list of messages or of a transcript.

    Raises:
        DataError: another type, an unknown role or text that is not valid Unicode.
    """
    if isinstance(value, str):
        text = valid_text(value, where)
        return transcript_turns(text) if is_transcript(text) else text
    if isinstance(value, list) and value:
        return tuple(_message(turn, f"{where}, turn {number}") for number, turn in enumerate(value, start=1))
    raise DataError(f"{where}: expected text or a list of {{role, content}} turns; got {shown(value)}")


def valid_text(value: str, where: str) -> str:
    """``value``, which can be stored and tokenised.

    Raises:
        DataError: it holds half of a surrogate pair.
    """
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half = f"U+{ord(value[error.start]):04X}"
        raise DataError(f"{where}: not valid Unicode: lone surrogate {half} at character {error.start + 1}") from error
    return value


def shown(value: object) -> str:
    """A short name of a value in a message."""
    if value is None:
        return "null"
    if isinstance(value, (str, int, float)):
        return f"{type(value).__name__} {value!r:.40}"
    return f"an empty {type(value).__name__}" if value in ([], {}) else type(value).__name__


def _message(turn: Any, where: str) -> Message:
    """``{role, content}``, or ShareGPT's ``{from, value}``."""
    if not isinstance(turn, Mapping):
        raise DataError(f"{where}: expected {{role, content}}; got {shown(turn)}")
    role, content = (turn.get("from"), turn.get("value")) if "from" in turn else (turn.get("role"), turn.get("content"))
    if not isinstance(role, str) or ROLE_NAMES.get(role, role) not in ROLES:
        raise DataError(f"{where}: expected a role of {', '.join(sorted(ROLES))}; got {shown(role)}")
    return Message(role=ROLE_NAMES.get(role, role), content=_content(content, where))


def _content(content: Any, where: str) -> str:
    """Text, or a list of parts that are all text."""
    if isinstance(content, str):
        return valid_text(content, where)
    if isinstance(content, list) and content and all(isinstance(part, Mapping) for part in content):
        texts = [part.get("text") for part in content]
        if all(isinstance(text, str) and part.get("type") == "text" for part, text in zip(content, texts, strict=True)):
            return valid_text("".join(map(str, texts)), where)
    raise DataError(f"{where}: expected text as content; got {shown(content)}")
