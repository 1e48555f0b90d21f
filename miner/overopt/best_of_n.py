"""Best-of-n curves without bias, every n from one pool of scored samples (Gao et al. 2023, arXiv:2210.10760, after
Nakano et al. 2021).

Of N samples sorted by proxy, the one of rank i is the best of n drawn without replacement with probability
C(i − 1, n − 1) / C(N, n): averaged over all subsets at once, nothing is resampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Scored samples of one prompt: proxy rewards and what the chosen one is worth, NaN where gold abstained."""

    proxy: Floats
    gold: Floats


def rank_weights(n_pool: int, n: int) -> Floats:
    """The chance of each rank, worst first, to be the best of ``n`` out of ``n_pool``: shape (n_pool,), sums to 1.

    Raises:
        ValueError: n outside 1…n_pool.
    """
    if not 1 <= n <= n_pool:
        raise ValueError(f"best of n needs 1 ≤ n ≤ {n_pool} samples in the pool; got n = {n}")
    rank = np.arange(1, n_pool + 1, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        log_weight = _log_choose(rank - 1, n - 1) - _log_choose(np.array([float(n_pool)]), n)
    return np.where(rank >= n, np.exp(log_weight), 0.0)


def expected_best(values: Floats, proxy: Floats, ns: Sequence[int]) -> Floats:
    """The expected value of the sample with the highest proxy among n, for every n: shape (len(ns),).

    Samples of equal proxy share their values: which of them would be taken is chance.
    """
    order = np.argsort(proxy, kind="stable")
    _, tie = np.unique(proxy[order], return_inverse=True)
    ordered = values[order]
    shared = (np.bincount(tie, weights=ordered) / np.bincount(tie))[tie]
    return np.array([rank_weights(len(proxy), n) @ shared for n in ns])


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
        np.array([expected_best(pool.proxy, pool.proxy, ns) for pool in whole]).reshape(len(whole), len(ns)),
        np.array([expected_best(pool.gold, pool.proxy, ns) for pool in whole]).reshape(len(whole), len(ns)),
    )


def _log_choose(n: Floats, k: int) -> Floats:
    chosen: Floats = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return chosen
