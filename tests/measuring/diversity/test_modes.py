"""Modes, silhouette and cosine on embeddings whose answer is known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from miner.measuring.diversity.modes import (
    cosine_distances,
    mean_cosine,
    mode_labels,
    silhouette,
    top_mode,
    top_mode_share,
)

Floats = npt.NDArray[np.float64]


def unit(vectors: Floats) -> Floats:
    rows: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return rows


def planted(sizes: tuple[int, ...], *, noise: float, seed: int = 0) -> Floats:
    """Clusters around orthogonal axes of 64 dimensions."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(np.eye(64)[: len(sizes)], sizes, axis=0)
    return unit(centres + noise * rng.normal(size=centres.shape))


def test_identical_texts_are_one_mode() -> None:
    distances = cosine_distances(planted((6,), noise=0))
    labels = mode_labels(distances)
    assert mean_cosine(distances) == pytest.approx(1)
    assert labels.max() == 1
    assert top_mode_share(labels) == 1
    assert silhouette(distances, labels) is None


def test_two_planted_clusters_are_found_and_well_apart() -> None:
    distances = cosine_distances(planted((7, 3), noise=0.02))
    labels = mode_labels(distances)
    assert labels.max() == 2
    assert len(set(labels[:7])) == len(set(labels[7:])) == 1
    assert top_mode_share(labels) == pytest.approx(0.7)
    assert top_mode(labels).tolist() == list(range(7))
    found = silhouette(distances, labels)
    assert found is not None
    assert found > 0.9


def test_random_directions_are_a_mode_each() -> None:
    distances = cosine_distances(unit(np.random.default_rng(0).normal(size=(12, 384))))
    labels = mode_labels(distances)
    assert labels.max() == 12
    assert mean_cosine(distances) == pytest.approx(0, abs=0.03)
    assert silhouette(distances, labels) is None


def test_the_first_of_two_modes_as_large_is_the_top_mode() -> None:
    assert top_mode(np.array([2, 2, 1, 1, 3])).tolist() == [0, 1]
