"""The one place that makes mined text safe for people to look at.

Mined text is adversarial: it may hold terminal escapes, direction overrides, invisible characters, markup or formulas.
Here every character that does not show as itself is spelled out. What comes out is for eyes only, never for a model:
a backslash is not doubled, so that ``\\u202e`` in the output may also be those six characters in the text.

Pages are made by templates that escape whatever they are given (``safe_environment``).
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup, escape
from rich.text import Text

if TYPE_CHECKING:
    from jinja2 import Environment

    from miner.statistics import Difference, Rate

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


def safe_environment(*folders: Path) -> Environment:
    """The templates of ``folders``, the first first: what they show is escaped, and undefined names are errors."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        finalize=_safe,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, percent=percent, share=share, points=points, mined=mined)
    return environment


def _safe(value: object) -> object:
    """What every expression of the template passes through: text becomes visible and escaped, markup stays."""
    return html(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def number(value: float, digits: int = 2, *, signed: bool = False) -> Markup:
    """A number for people, with the exact one beside it for machines."""
    text = f"{value:+,.{digits}f}" if signed else f"{value:,.{digits}f}"
    return Markup('<data value="{}">{}</data>').format(repr(value), text.replace("-", "−"))


def percent(value: float, unit: str = "\u00a0%") -> Markup:
    return Markup('<data value="{}">{:.1f}{}</data>').format(repr(value), 100 * value, unit)


def share(rate: Rate) -> Markup:
    """A rate with its interval and n."""
    return Markup(
        '<span class="rate">{}</span> <span class="interval">({}\u00a0to\u00a0{}, n\u00a0=\u00a0{})</span>'
    ).format(percent(rate.value), percent(rate.low, ""), percent(rate.high), number(rate.n, 0))


def points(change: Difference) -> Markup:
    """A difference of rates, in percentage points."""
    ends = [
        Markup('<data value="{}">{}</data>').format(repr(end), f"{100 * end:+.1f}".replace("-", "−"))
        for end in (change.value, change.low, change.high)
    ]
    return Markup(
        '<span class="rate">{} points</span> <span class="interval">({}\u00a0to\u00a0{}, n\u00a0=\u00a0{})</span>'
    ).format(*ends, number(change.n, 0))


def mined(text: str) -> Markup:
    """Text as HTML that shows every character; a mark with nothing to stand on gets a dotted circle to stand on."""
    if starts_combining(text):
        return Markup('<span class="lone">{}</span>').format(broken(text))
    return broken(text)


def broken(text: str) -> Markup:
    """Shown newlines also break the line; the text itself stays what ``visible`` made of it."""
    return html(text).replace("⏎", Markup("⏎<br>"))


def starts_combining(text: str) -> bool:
    return bool(text) and unicodedata.category(text[0]).startswith("M")


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
