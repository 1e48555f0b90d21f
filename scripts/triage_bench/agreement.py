"""How well two ways of grouping agree, with an interval."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from sklearn.metrics import adjusted_rand_score

from miner.statistics import WithInterval, cluster_bootstrap


def adjusted_rand_interval(one: Sequence[Hashable], other: Sequence[Hashable], seed: int = 0) -> WithInterval:
    """The adjusted Rand index with a bootstrap interval over items, each drawn at most as often as it then counts once:
    copies of an item would agree with themselves."""
    a, b = (np.unique(np.array(labels, dtype=object).astype(str), return_inverse=True)[1] for labels in (one, other))
    low, high = cluster_bootstrap(lambda drawn: adjusted_rand_score(a[drawn > 0], b[drawn > 0]), len(a), seed=seed)
    return WithInterval(float(adjusted_rand_score(a, b)), len(a), float(low), float(high))
