"""Words as the checks count them, and units of text that can be put in another order.

Chinese, Japanese, Thai, Lao, Khmer and Burmese are written without spaces between words: there a unit is a character
with its marks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def words_of(text: str) -> tuple[str, ...]:
    """The lower-case words of a text, identifiers taken apart: ``getFile_name`` is get, file, name."""
    return tuple(word.lower() for word in _WORD.findall(_HUMP.sub(" ", text)))


_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff"
_MARKS = "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ecd\u102b-\u103e\u17b4-\u17d3"
_UNIT = re.compile(rf"[{_UNSPACED}][{_MARKS}]*|[^\s{_UNSPACED}]+")
_NEEDLESS_SPACE = re.compile(rf"(?<=[{_UNSPACED}]) | (?=[{_UNSPACED}])")


def units_of(text: str) -> list[str]:
    """What stands between spaces; where a script has none, character by character."""
    return _UNIT.findall(text)


def joined(units: Iterable[str]) -> str:
    """The units as a text: a space between two words, none beside a character of a script without."""
    return _NEEDLESS_SPACE.sub("", " ".join(units))
