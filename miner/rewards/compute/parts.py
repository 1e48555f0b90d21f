"""Scores many texts in parts, so that it can be said how far it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from miner.progress import Advance
from miner.rewards.base import Pair, Scorer

PAIRS_AT_ONCE = 256  # enough to fill the batches of a device


def exact_in_parts(rm: Scorer, pairs: Sequence[Pair], progress: Advance) -> npt.NDArray[np.float64]:
    """``rm.exact_rewards`` of ``pairs``."""
    parts = []
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        parts.append(rm.exact_rewards(pairs[start : start + PAIRS_AT_ONCE]))
        progress(min(start + PAIRS_AT_ONCE, len(pairs)), len(pairs))
    return np.concatenate(parts) if parts else np.zeros(0)
