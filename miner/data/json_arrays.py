"""The elements of one JSON array, parsed one at a time from chunks of its text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

SPACE = " \t\r\n"


class BadArrayError(Exception):
    """The text is not one JSON array; ``line`` is where the element in question starts."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def array_elements(chunks: Iterator[str]) -> Iterator[tuple[int, Any]]:
    """(line on which it starts, value) of each element.

    Raises:
        BadArrayError: malformed, cut short, or followed by something else.
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
        raise BadArrayError(window.line, "there is more after the closing bracket")


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
            raise BadArrayError(self.line, f"expected {expected!r}, got {got!r}" if got else "it ends too early")
        self._advance(self.at + 1)

    def element(self) -> tuple[int, Any]:
        if not self.peek():
            raise BadArrayError(self.line, "it ends too early")
        decoder, started, wanted = json.JSONDecoder(), self.line, 1
        while True:
            try:
                value, end = decoder.raw_decode(self.text, self.at)
                if end < len(self.text) or not self._read(wanted):  # a number may go on in the next chunk
                    self._advance(end)
                    return started, value
            except json.JSONDecodeError as error:
                if not self._read(wanted):
                    raise BadArrayError(started, f"{error.msg} in the element that starts here") from error
            except (ValueError, RecursionError) as error:
                raise BadArrayError(started, f"{error} in the element that starts here") from error
            wanted *= 2  # so that a long element is parsed a logarithmic number of times

    def _advance(self, to: int) -> None:
        self.line += self.text.count("\n", self.at, to)
        self.at = to

    def _read(self, chunks: int) -> bool:
        """Drop what is behind, append up to ``chunks`` more; False at the end."""
        fresh = "".join(islice(self.chunks, chunks))
        self.text, self.at = self.text[self.at :] + fresh, 0
        return bool(fresh)
