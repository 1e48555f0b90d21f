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


def rouge_l(text: str, reference: str) -> float:
    """F1 of the longest common subsequence of words, 0 to 1. Order counts: the reference's words shuffled score low.

    Punctuation counts nothing, as usual for ROUGE: every answer shares a full stop with every reference.
    """
    mine, theirs = ([word for word in words(one) if re.match(r"\w", word)] for one in (text, reference))
    if not mine or not theirs:
        return float(not mine and not theirs)
    return 2 * common_subsequence(mine, theirs) / (len(mine) + len(theirs))
