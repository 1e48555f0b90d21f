"""What a server answered, checked before anything is made of it."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from miner.errors import TooLongError

SHOWN_CHARACTERS = 120
TOO_LONG = re.compile(r"context.?length|max_model_len|too long|maximum.{0,20}(length|tokens)", re.IGNORECASE)


class BadAnswerError(Exception):
    """An answer that is none: asked again before it is an error for the user."""


def parsed(body: bytes, content_type: str) -> Any:
    """The JSON in ``body``.

    Raises:
        BadAnswerError: it is not said to be JSON, is not, or holds NaN or Infinity.
    """
    if "json" not in content_type.lower():
        raise BadAnswerError(f"answered {content_type or 'without a content type'}, expected JSON: {excerpt(body)}")
    try:
        return json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BadAnswerError(f"answered what is no JSON ({error}): {excerpt(body)}") from error


def member(answer: Any, name: str, kind: type | tuple[type, ...]) -> Any:
    """``answer[name]``, of that kind.

    Raises:
        BadAnswerError: it is not there, or something else.
    """
    if not isinstance(answer, dict) or name not in answer:
        raise BadAnswerError(f"its answer has no {name!r}: {excerpt(answer)}")
    value = answer[name]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise BadAnswerError(f"{name!r} of its answer is {excerpt(value)}")
    return value


def number(value: Any) -> float:
    """A finite number.

    Raises:
        BadAnswerError: anything else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not _finite(value):
        raise BadAnswerError(f"answered {excerpt(value)} for a reward, expected a finite number")
    return float(value)


def numbers(values: Any, n: int) -> list[float]:
    """Exactly ``n`` finite numbers.

    Raises:
        BadAnswerError: more, fewer, or something else among them.
    """
    if not isinstance(values, list) or len(values) != n:
        got = f"{len(values)} rewards" if isinstance(values, list) else excerpt(values)
        raise BadAnswerError(f"answered {got} for {n} texts")
    return [number(value) for value in values]


def too_long(body: bytes) -> TooLongError | None:
    """Of a refusal by OpenAI's or vLLM's API, whether it is about the length of the input."""
    said = body.decode("utf-8", errors="replace")
    return TooLongError(f"the server refuses the input as too long: {excerpt(said)}") if TOO_LONG.search(said) else None


def excerpt(value: Any) -> str:
    """The start of an answer, on one line."""
    if isinstance(value, bytes):
        value = value[: 4 * SHOWN_CHARACTERS].decode("utf-8", errors="replace")
    if not isinstance(value, str):
        return _shortened(json.dumps(value))
    return repr(_shortened(" ".join(value.split())))


def _shortened(line: str) -> str:
    return line if len(line) <= SHOWN_CHARACTERS else f"{line[:SHOWN_CHARACTERS]}…"


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond any float
        return False


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")
