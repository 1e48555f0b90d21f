"""Best-of-n curves; the estimator itself is tested in ``test_best_of_n.py``."""

from __future__ import annotations

import numpy as np
import pytest

from miner.measuring.best_of_n import Pool, best_of_n_kl, curves


def test_kl_bound_is_zero_for_one_sample_and_grows() -> None:
    assert best_of_n_kl(1) == 0
    assert best_of_n_kl(1024) == pytest.approx(np.log(1024) - 1023 / 1024)


def test_prompts_on_which_gold_abstained_are_left_out() -> None:
    whole = Pool(proxy=np.array([0.0, 1.0]), gold=np.array([0.0, 1.0]))
    torn = Pool(proxy=np.array([0.0, 1.0]), gold=np.array([np.nan, 1.0]))
    proxy, gold = curves([whole, torn], [1, 2])
    assert proxy.shape == gold.shape == (1, 2)
