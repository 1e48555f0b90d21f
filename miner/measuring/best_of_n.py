"""Best of n without the luck of the draw: what an RM's pick out of n samples is worth in gold, from a pool of N.

Every one of the C(N, n) subsets counts alike. With the pool sorted by reward, the sample of rank i is the pick of
C(i − 1, n − 1) of them (Gao et al. 2023, arXiv:2210.10760, appendix). Samples of equal reward share their gold: the RM
has no opinion among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from miner.statistics import CONFIDENCE, log_choose

Floats = npt.NDArray[np.float64]

SURE = 1 - (1 - CONFIDENCE) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """Where more samples begin to hurt. ``n``: the size with the highest mean gold, None where that is the largest.

    ``low`` and ``high`` are the ends of its 95 % interval over resampled prompts (None: it does not turn up to the
    largest size); ``share`` is that of the resamples in which the curve turns, ``sure`` whether nearly all do.
    """

    n: int | None
    low: int | None
    high: int | None
    share: float
    sure: bool


def pick_weights(pool: int, sizes: Sequence[int]) -> Floats:
    """The chance that the sample of each rank, worst first, is the best of ``n``: shape (n_sizes, pool)."""
    n = np.asarray(sizes, dtype=np.float64)[:, None]
    rank = np.arange(1, pool + 1, dtype=np.float64)[None, :]
    possible = rank >= n
    weights = np.exp(log_choose(np.where(possible, rank - 1, n - 1), n - 1) - log_choose(np.float64(pool), n))
    return np.where(possible, weights, 0.0)


def pick_curve(rewards: Floats, gold: Floats, sizes: Sequence[int]) -> Floats:
    """The expected gold of the pick by reward out of each size, shape (n_sizes,)."""
    _, tied, counts = np.unique(rewards, return_inverse=True, return_counts=True)
    shared = (np.bincount(tied, weights=gold) / counts)[tied]
    return pick_weights(len(rewards), sizes) @ shared[np.argsort(rewards, kind="stable")]


def concordance(rewards: Floats, gold: Floats) -> float | None:
    """Of the pairs that differ in gold, the share that the RM ranks as gold does; equal rewards count half.

    None where all gold is equal.
    """
    above, below = np.triu_indices(len(gold), k=1)
    difference = np.sign(gold[above] - gold[below])
    agreed = (1 + difference * np.sign(rewards[above] - rewards[below])) / 2
    return float(agreed[difference != 0].mean()) if difference.any() else None


def curve_sizes(pool: int) -> tuple[int, ...]:
    """Sizes from 1 to the pool's, about eight to each doubling."""
    steps = np.unique(np.round(2 ** np.arange(0, np.log2(pool) + 1e-9, 1 / 8)).astype(int))
    return tuple(sorted({*steps.tolist(), 1, pool}))


def turn_of(means: Floats, resampled: Floats, sizes: Sequence[int]) -> Peak:
    """Where a curve turns: ``means`` has shape (n_sizes,), ``resampled`` (n_resamples, n_sizes)."""
    last, tail = len(sizes) - 1, (1 - CONFIDENCE) / 2
    peaks = resampled.argmax(1)
    low, high = (int(end) for end in np.quantile(peaks, (tail, 1 - tail), method="nearest"))
    share = float((peaks < last).mean())
    at = [None if peak == last else int(sizes[peak]) for peak in (int(means.argmax()), low, high)]
    return Peak(n=at[0], low=at[1], high=at[2], share=share, sure=share >= SURE and at[0] is not None)


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Scored samples of one prompt: proxy rewards and what the chosen one is worth, NaN where gold abstained."""

    proxy: Floats
    gold: Floats


def best_of_n_kl(n: int) -> float:
    """Nats between best-of-n and the policy it samples: log n − (n − 1) / n, an upper bound where samples can tie."""
    return float(np.log(n) - (n - 1) / n)


def powers(n_pool: int) -> tuple[int, ...]:
    """1, 2, 4, … up to the pool."""
    return tuple(2**k for k in range(int(np.log2(n_pool)) + 1))


def curves(pools: Sequence[Pool], ns: Sequence[int]) -> tuple[Floats, Floats]:
    """Proxy and gold by prompt and n: each (n_prompts, len(ns)). Prompts on which gold abstained are left out."""
    whole = [pool for pool in pools if not np.isnan(pool.gold).any()]
    return (
        np.array([pick_curve(pool.proxy, pool.proxy, ns) for pool in whole]).reshape(len(whole), len(ns)),
        np.array([pick_curve(pool.proxy, pool.gold, ns) for pool in whole]).reshape(len(whole), len(ns)),
    )
