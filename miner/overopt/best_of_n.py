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

from miner.gap.selection import pick_curve

Floats = npt.NDArray[np.float64]


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
