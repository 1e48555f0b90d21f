"""Words as the checks count them."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def words_of(text: str) -> tuple[str, ...]:
    """The lower-case words of a text, identifiers taken apart: ``getFile_name`` is get, file, name."""
    return tuple(word.lower() for word in _WORD.findall(_HUMP.sub(" ", text)))
