"""How well two ways of grouping agree: the adjusted Rand index (Hubert & Arabie 1985, J. Classification 2, 193–218)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from miner.measuring.triage.result import Interval
from miner.statistics import CONFIDENCE, RESAMPLES


def adjusted_rand(one: Sequence[Hashable], other: Sequence[Hashable]) -> float:
    """1 for the same groups, 0 on average for groups by chance.

    Raises:
        ValueError: not one label of each per item.
    """
    a, b = _numbered(one), _numbered(other)
    if len(a) != len(b):
        raise ValueError(f"every item needs both labels; got {len(a)} and {len(b)}")
    return _adjusted_rand(a, b)


def adjusted_rand_interval(one: Sequence[Hashable], other: Sequence[Hashable], seed: int = 0) -> Interval:
    """The index with a bootstrap interval over items, each drawn at most as often as it then counts once: copies of an
    item would agree with themselves."""
    a, b = _numbered(one), _numbered(other)
    rng = np.random.default_rng(seed)
    draws = [np.unique(rng.integers(len(a), size=len(a))) for _ in range(RESAMPLES)]
    values = [_adjusted_rand(a[drawn], b[drawn]) for drawn in draws]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, (tail, 1 - tail))
    return Interval(_adjusted_rand(a, b), len(a), float(low), float(high))


def _adjusted_rand(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> float:
    both = np.unique(np.stack([a, b]), axis=1, return_counts=True)[1]
    together, of_a, of_b = (_pairs(counts) for counts in (both, np.bincount(a), np.bincount(b)))
    expected = of_a * of_b / max(_pairs(np.array([len(a)])), 1)
    largest = (of_a + of_b) / 2
    return 1.0 if largest == expected else float((together - expected) / (largest - expected))


def _pairs(counts: npt.NDArray[np.int64]) -> float:
    return float((counts * (counts - 1)).sum() / 2)


def _numbered(labels: Sequence[Hashable]) -> npt.NDArray[np.int64]:
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.int64)
