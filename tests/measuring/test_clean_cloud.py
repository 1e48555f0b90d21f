"""Distances to clean text: the estimate, the comparison, and that nothing is flattered by the fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from miner.errors import CapabilityError
from miner.measuring.clean_cloud import CleanCloud, percentiles
from miner.rewards import Pair, load_reward_model
from miner.testing import ToyRewardModel


def drawn(n: int, p: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, p)) @ np.random.default_rng(99).normal(size=(p, p)) + 3.0


def test_percentiles_of_clean_text_outside_the_fit_are_uniform_and_of_its_own_they_would_not_be() -> None:
    fit, other, fresh = (drawn(120, 60, seed) for seed in (1, 2, 3))
    domain = CleanCloud.of(fit)
    honest = percentiles(domain.distances(fresh), domain.distances(other))
    assert stats.kstest(honest / 100, "uniform").pvalue > 0.01
    flattered = percentiles(domain.distances(fresh), domain.distances(fit))
    assert stats.kstest(flattered / 100, "uniform").pvalue < 1e-6


def test_the_shrinkage_is_ledoit_and_wolfs_and_helps_where_texts_are_few() -> None:
    few, true = drawn(40, 30, 5), np.random.default_rng(99).normal(size=(30, 30))
    cloud, centred = CleanCloud.of(few), few - few.mean(axis=0)
    shrunk, sample = np.linalg.inv(cloud.precision), centred.T @ centred / 40
    # their formula, as sums over texts
    target = np.trace(sample) / 30 * np.eye(30)
    error = sum(((np.outer(x, x) - sample) ** 2).sum() for x in centred) / 40**2
    assert cloud.shrinkage == pytest.approx(min(1, error / ((sample - target) ** 2).sum()))
    assert ((shrunk - true.T @ true) ** 2).sum() < ((sample - true.T @ true) ** 2).sum()
    assert np.linalg.cond(shrunk) < np.linalg.cond(sample)


def test_clean_text_lies_about_one_from_the_cloud_and_empty_texts_nowhere() -> None:
    cloud = CleanCloud.of(np.vstack([drawn(400, 12, 1), np.full((1, 12), np.nan)]))
    assert cloud.n == 400
    assert np.mean(cloud.scaled_distances(drawn(200, 12, 2))) == pytest.approx(1, abs=0.1)


def test_a_domain_of_one_point_is_refused() -> None:
    with pytest.raises(ValueError, match="two different"):
        CleanCloud.of(np.ones((5, 3)))


def test_the_reward_is_a_linear_function_of_the_latents_whatever_the_batch(
    tiny_rm_folder: Path, docs_world: Any
) -> None:
    rm = load_reward_model(tiny_rm_folder, device="cpu", dtype="float32")
    pairs = [Pair(prompt.conversation, prompt.reference) for prompt in docs_world.prompts("calibration")[:12]]
    latents = rm.latents(pairs)
    head: Any = rm.model.classifier
    with torch.no_grad():
        rewards = head(torch.tensor(latents, dtype=torch.float32))[:, 0].numpy()
    np.testing.assert_allclose(rewards, rm.exact_rewards(pairs), atol=1e-4)
    np.testing.assert_allclose(rm.latents(pairs[::-1])[::-1], latents, atol=1e-4)
    assert not head._forward_pre_hooks


def test_an_rm_without_hidden_states_says_so() -> None:
    with pytest.raises(CapabilityError, match="shows no hidden states"):
        ToyRewardModel().latents([])
