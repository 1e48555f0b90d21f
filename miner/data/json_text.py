"""JSON values parsed one at a time from chunks of text: the elements of an array, or one value after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

SPACE = " \t\r\n"
CUT_CHARACTERS = 16  # so near the end of what is in memory, an error may be the cut's
OPEN_STRING = "Unterminated string"


class BadJsonError(Exception):
    """The text is not what was expected; ``line`` is where the value in question starts."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def array_elements(chunks: Iterator[str]) -> Iterator[tuple[int, Any]]:
    """(line on which it starts, value) of each element.

    Raises:
        BadJsonError: malformed, cut short, or followed by something else.
    """
    window = _Window(chunks)
    window.take("[")
    if window.peek() == "]":
        window.take("]")
    else:
        while True:
            yield window.element()
            if window.peek() == "]":
                window.take("]")
                break
            window.take(",")
    if window.peek():
        raise BadJsonError(window.line, "there is more after the closing bracket")


def values_in_turn(chunks: Iterator[str]) -> Iterator[tuple[int, Any]]:
    """(line on which it starts, value) of each of the values that follow one another, however they are laid out.

    Raises:
        BadJsonError: malformed or cut short.
    """
    window = _Window(chunks)
    while window.peek():
        yield window.element()


@dataclass
class _Window:
    """The part of the text that is in memory: at least the element being parsed."""

    chunks: Iterator[str]
    text: str = ""
    at: int = 0
    line: int = 1

    def peek(self) -> str:
        """The next character that is not space; empty at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in SPACE:
                self._advance(self.at + 1)
            if self.at < len(self.text) or not self._read(1):
                return self.text[self.at : self.at + 1]

    def take(self, expected: str) -> None:
        got = self.peek()
        if got != expected:
            raise BadJsonError(self.line, f"expected {expected!r}, got {got!r}" if got else "it ends too early")
        self._advance(self.at + 1)

    def element(self) -> tuple[int, Any]:
        if not self.peek():
            raise BadJsonError(self.line, "it ends too early")
        decoder, started, wanted = json.JSONDecoder(), self.line, 1
        while True:
            try:
                value, end = decoder.raw_decode(self.text, self.at)
                if end < len(self.text) or not self._read(wanted):  # a number may go on in the next chunk
                    self._advance(end)
                    return started, value
            except json.JSONDecodeError as error:
                cut = error.msg.startswith(OPEN_STRING) or error.pos > len(self.text) - CUT_CHARACTERS
                if not cut or not self._read(wanted):
                    raise BadJsonError(started, f"{error.msg} in the element that starts here") from error
            except (ValueError, RecursionError) as error:
                raise BadJsonError(started, f"{error} in the element that starts here") from error
            wanted *= 2  # so that a long element is parsed a logarithmic number of times

    def _advance(self, to: int) -> None:
        self.line += self.text.count("\n", self.at, to)
        self.at = to

    def _read(self, chunks: int) -> bool:
        """Drop what is behind, append up to ``chunks`` more; False at the end."""
        fresh = "".join(islice(self.chunks, chunks))
        self.text, self.at = self.text[self.at :] + fresh, 0
        return bool(fresh)
