"""The one place that makes mined text safe for people to look at.

Mined text is adversarial: it may hold terminal escapes, direction overrides, invisible characters, markup or formulas.
Here every character that does not show as itself is spelled out. What comes out is for eyes only, never for a model:
a backslash is not doubled, so that ``\\u202e`` in the output may also be those six characters in the text.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from markupsafe import Markup, escape
from rich.text import Text

SHOWN = {"\n": "⏎", "\t": "⇥", "\x7f": "␡"}
HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Unicode 16's Default_Ignorable_Code_Point outside the categories above: letters and marks that draw nothing
IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def visible(text: str, *, keep_whitespace: bool = False) -> str:
    """``text`` with nothing in it that acts or hides.

    C0 controls become their pictures (``␛``), newline ``⏎`` and tab ``⇥`` unless ``keep_whitespace``; C1, bidi,
    zero-width, private, unassigned and other format characters, line separators and lone surrogates become escapes
    (``\\u202e``).
    """
    if text.isprintable() and not IGNORABLE.search(text):
        return text
    kept = "\n\t" if keep_whitespace else ""
    return "".join(char if char in kept else _shown(char) for char in text)


def html(text: str, *, keep_whitespace: bool = False) -> Markup:
    """``visible`` text, escaped for element content and quoted attributes."""
    return escape(visible(text, keep_whitespace=keep_whitespace))


def terminal(text: str, *, keep_whitespace: bool = False) -> Text:
    """``visible`` text for rich, which reads no markup or emoji codes in it."""
    return Text(visible(text, keep_whitespace=keep_whitespace))


@lru_cache(maxsize=4096)
def _shown(char: str) -> str:
    code = ord(char)
    if char in SHOWN:
        return SHOWN[char]
    if code < 0x20:
        return chr(0x2400 + code)
    if unicodedata.category(char) not in HIDDEN_CATEGORIES and not IGNORABLE.match(char):
        return char
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
