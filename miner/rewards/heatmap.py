"""Mined text as HTML, coloured by what each token adds to the reward.

Colours are classes, not inline styles, which the page's content security policy forbids.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from miner.rewards.base import TokenAttribution
from miner.safe_text import broken, mined, starts_combining

LEVELS = 6


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a response; ``value`` is what it adds to the reward, None where the RM's tokens leave it out."""

    text: str
    value: float | None


def segments(response: str, attribution: TokenAttribution) -> list[Segment]:
    """The whole response in pieces: every attributed token, and whatever lies between them.

    Tokens that share characters (bytes of one letter) become one piece with the sum of their values.
    """
    pieces: list[Segment] = []
    at = 0
    for start, end, value in _merged(attribution):
        if start > at:
            pieces.append(Segment(response[at:start], None))
        pieces.append(Segment(response[start:end], value))
        at = end
    if at < len(response):
        pieces.append(Segment(response[at:], None))
    return pieces


def _merged(attribution: TokenAttribution) -> Iterator[tuple[int, int, float]]:
    open_start, open_end, open_value = 0, 0, 0.0
    for (start, end), value in sorted(zip(attribution.spans, attribution.values, strict=True)):
        if start < open_end:
            open_end, open_value = max(open_end, end), open_value + value
            continue
        if open_end > open_start:
            yield open_start, open_end, open_value
        open_start, open_end, open_value = start, end, value
    if open_end > open_start:
        yield open_start, open_end, open_value


def heat_map(response: str, attribution: TokenAttribution) -> Markup:
    """The response with each piece in the colour of its share of the largest attribution in this response."""
    pieces = segments(response, attribution)
    scale = max((abs(piece.value) for piece in pieces if piece.value is not None), default=0.0)
    return Markup("").join(_coloured(piece, scale) for piece in pieces)


def _coloured(piece: Segment, scale: float) -> Markup:
    if piece.value is None:
        return mined(piece.text)
    level = round(LEVELS * abs(piece.value) / scale) if scale else 0
    heat = f"{'up' if piece.value > 0 else 'down'}{level}" if level else "level0"
    return Markup('<span class="token {}{}" title="{}">{}</span>').format(
        heat, " lone" if starts_combining(piece.text) else "", f"{piece.value:+.3f}", broken(piece.text)
    )
