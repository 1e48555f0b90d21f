"""How varied the words of a set of texts are: distinct-n at a fixed number of n-grams, and self-BLEU.

Distinct-n falls as a set grows, so that a policy which merely writes less looks more varied. Here it is rarefied
(Hurlbert 1971): the expected share of different n-grams among ``draw`` of the set's n-grams, drawn without
replacement. It uses every word and is exact; sets are compared at the same ``draw``.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from miner.statistics import log_choose

BLEU_ORDER = 4
UNMATCHED = 0.1  # matches that an order without any counts for (Chen and Cherry 2014, method 1)

NGram = tuple[str, ...]
Floats = npt.NDArray[np.float64]


def n_gram_counts(texts: Sequence[Sequence[str]], n: int) -> Counter[NGram]:
    """How often each run of ``n`` words occurs within the texts, given as words; none spans two texts."""
    return Counter(gram for text in texts for gram in _n_grams(text, n))


def distinct(counts: Counter[NGram], draw: int) -> float | None:
    """The expected share of different n-grams among ``draw`` of those counted; None where there are fewer."""
    total = counts.total()
    if draw < 1 or total < draw:
        return None
    each = np.array(list(counts.values()), dtype=np.float64)
    left = total - each  # n-grams that are not this one; it is missed where all of the draw come from them
    possible = left >= draw
    missed = np.zeros(len(each))
    missed[possible] = np.exp(log_choose(left[possible], draw) - log_choose(float(total), draw))
    return float((1 - missed).sum() / draw)


def self_bleu(texts: Sequence[Sequence[str]]) -> float:
    """The mean BLEU-4 of each text, given as words, with all the others as its references: 1 where all are the same.

    The closest other length sets the brevity penalty; texts under four words are matched up to their own length, and an
    empty text scores 1 beside another empty one. Linear in the words: each n-gram's two largest counts are what any
    text's clipping can meet.

    Raises:
        ValueError: fewer than two texts.
    """
    if len(texts) < 2:
        raise ValueError(f"self-BLEU compares a text with the others; got {len(texts)} texts")
    lengths = sorted(map(len, texts))
    counts = [[Counter(_n_grams(text, n)) for text in texts] for n in range(1, BLEU_ORDER + 1)]
    largest = [_two_largest(of_order) for of_order in counts]
    return sum(_bleu(at, len(text), counts, largest, lengths) for at, text in enumerate(texts)) / len(texts)


def _bleu(
    at: int,
    length: int,
    counts: Sequence[Sequence[Counter[NGram]]],
    largest: Sequence[dict[NGram, tuple[int, int]]],
    lengths: Sequence[int],
) -> float:
    if length == 0:
        return float(lengths[1] == 0)
    log_precision, order = 0.0, min(BLEU_ORDER, length)
    for n_words, (own, most) in enumerate(zip(counts[:order], largest[:order], strict=True), start=1):
        matched = sum(min(n, most[gram][1] if n == most[gram][0] else most[gram][0]) for gram, n in own[at].items())
        if not matched and n_words == 1:
            return 0.0
        log_precision += math.log((matched or UNMATCHED) / own[at].total())
    closest = _closest_other(length, lengths)
    brevity = 0.0 if length > closest else 1 - closest / length
    return math.exp(log_precision / order + brevity)


def _two_largest(counts: Sequence[Counter[NGram]]) -> dict[NGram, tuple[int, int]]:
    """Per n-gram its largest count in one text and the largest in any other."""
    found: dict[NGram, tuple[int, int]] = {}
    for of_text in counts:
        for gram, n in of_text.items():
            first, second = found.get(gram, (0, 0))
            found[gram] = (n, first) if n > first else (first, max(second, n))
    return found


def _closest_other(length: int, lengths: Sequence[int]) -> int:
    """The length nearest to ``length`` among the sorted lengths less one of its own; the shorter of two as near."""
    at = bisect_left(lengths, length)
    others = [lengths[i] for i in (at - 1, at + 1) if 0 <= i < len(lengths)]
    return min(others, key=lambda other: (abs(other - length), other))


def _n_grams(text: Sequence[str], n: int) -> list[NGram]:
    return [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]
