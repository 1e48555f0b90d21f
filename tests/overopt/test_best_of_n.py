"""Best-of-n against brute force over all subsets."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from miner.overopt.best_of_n import Pool, best_of_n_kl, curves, expected_best, rank_weights


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
def test_estimator_is_the_mean_over_all_subsets(n: int) -> None:
    rng = np.random.default_rng(0)
    proxy, gold = rng.normal(size=8), rng.normal(size=8)
    best = [gold[max(chosen, key=lambda i: proxy[i])] for chosen in combinations(range(8), n)]
    assert expected_best(gold, proxy, [n])[0] == pytest.approx(np.mean(best))


def test_samples_of_equal_proxy_share_their_values() -> None:
    assert expected_best(np.array([0.0, 1.0, 5.0]), np.array([2.0, 2.0, 1.0]), [3])[0] == pytest.approx(0.5)


def test_weights_sum_to_one_up_to_a_thousand_samples() -> None:
    for n in (1, 64, 1024):
        assert rank_weights(1024, n).sum() == pytest.approx(1.0)


def test_more_samples_than_the_pool_are_refused() -> None:
    with pytest.raises(ValueError, match="n = 9"):
        rank_weights(8, 9)


def test_kl_bound_is_zero_for_one_sample_and_grows() -> None:
    assert best_of_n_kl(1) == 0
    assert best_of_n_kl(1024) == pytest.approx(np.log(1024) - 1023 / 1024)


def test_prompts_on_which_gold_abstained_are_left_out() -> None:
    whole = Pool(proxy=np.array([0.0, 1.0]), gold=np.array([0.0, 1.0]))
    torn = Pool(proxy=np.array([0.0, 1.0]), gold=np.array([np.nan, 1.0]))
    proxy, gold = curves([whole, torn], [1, 2])
    assert proxy.shape == gold.shape == (1, 2)
