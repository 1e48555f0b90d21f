"""A text as pieces that can be left out, and its words as they can be renamed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

MAX_CHARACTERS = 16  # characters of a piece: a longer run without spaces is cut, so that it can be shrunk at all
CUT = 4

_PIECE = re.compile(r"\s*(?:\w+(?:['’]\w+)*|[^\w\s]+)")
_WORD = re.compile(r"\w+(?:['’]\w+)*")


def pieces_of(text: str) -> tuple[str, ...]:
    """Words and runs of punctuation, each with the white space before it; together the text without its last one."""
    found: list[str] = []
    for piece in _PIECE.findall(text):
        found += [piece] if len(piece) <= MAX_CHARACTERS else [piece[at : at + CUT] for at in range(0, len(piece), CUT)]
    return tuple(found) or (text,)


def joined(pieces: Sequence[str]) -> str:
    """The text of these pieces, without white space at its ends."""
    return "".join(pieces).strip()


def distinct_words(text: str) -> tuple[str, ...]:
    """The different words in order of appearance, lower-case."""
    return tuple(dict.fromkeys(word.casefold() for word in _WORD.findall(text)))


def renamed(text: str, names: Mapping[str, str]) -> str:
    """``text`` with every occurrence of the (lower-case) words in ``names`` exchanged for what it gives them."""
    return _WORD.sub(lambda match: names.get(match[0].casefold(), match[0]), text)


def n_words(text: str) -> int:
    return len(_WORD.findall(text))


def word_spans(text: str) -> list[tuple[int, int, str]]:
    """(start, end, lower-case word) of every word."""
    return [(match.start(), match.end(), match[0].casefold()) for match in _WORD.finditer(text)]
