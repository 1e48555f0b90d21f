"""Templates that escape whatever they are given, and how numbers and mined text stand on a page."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from miner import safe_text
from miner.statistics import Difference, Rate


def safe_environment(*folders: Path) -> Environment:
    """The templates of ``folders``, the first first: what they show is escaped, and undefined names are errors."""
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
    return safe_text.html(value) if isinstance(value, str) and not isinstance(value, Markup) else value


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
    """Shown newlines also break the line; the text itself stays what ``safe_text`` made of it."""
    return safe_text.html(text).replace("⏎", Markup("⏎<br>"))


def starts_combining(text: str) -> bool:
    return bool(text) and unicodedata.category(text[0]).startswith("M")
