"""How much two texts share: their words, and the longest subsequence that both have."""

from __future__ import annotations

import re
from collections.abc import Sequence

WORD = re.compile(r"\w+|[^\w\s]")


def words(text: str) -> tuple[str, ...]:
    """Lower-cased words and single punctuation marks."""
    return tuple(WORD.findall(text.lower()))


def common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """The length of the longest common subsequence, row by row."""
    above = [0] * (len(b) + 1)
    for word in a:
        row = [0]
        for column, other in enumerate(b, start=1):
            row.append(above[column - 1] + 1 if word == other else max(above[column], row[-1]))
        above = row
    return above[-1]
