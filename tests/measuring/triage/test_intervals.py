"""Intervals over prompts of what triage compares."""

from __future__ import annotations

import numpy as np
import pytest

from miner.measuring.triage.intervals import auroc


def test_far_text_is_told_from_near_and_the_interval_is_by_prompt() -> None:
    rng = np.random.default_rng(0)
    near, far = rng.normal(size=80), rng.normal(size=80) + 1.5
    names = [str(i) for i in range(80)]
    apart = auroc(far, near, names, [f"n{name}" for name in names])
    brute = np.mean([(one > other) + 0.5 * (one == other) for one in far for other in near])
    assert apart.value == pytest.approx(brute)
    assert 0.5 < apart.low < apart.value < apart.high <= 1
    few = auroc(far, near, [name[-1] for name in names], [name[-1] for name in names])
    assert few.value == apart.value
    same = auroc(np.ones(4), np.ones(5), list("abcd"), list("efghi"))
    assert (same.value, same.n_positive, same.n_negative) == (0.5, 4, 5)
    with pytest.raises(ValueError, match="needs both"):
        auroc(far, near[:0], names, [])
