"""Scoring in parts: the same rewards, and told how far it is."""

from __future__ import annotations

import numpy as np
import pytest

from corpus.records import Message
from miner.rewards.base import Pair
from miner.rewards.compute import parts
from miner.testing import ToyRewardModel


@pytest.mark.parametrize("n", [0, 1, 6, 7])
def test_parts_have_the_rewards_of_the_whole_and_every_one_is_told(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    monkeypatch.setattr(parts, "PAIRS_AT_ONCE", 3)
    rm = ToyRewardModel()
    pairs = [Pair((Message(role="user", content="?"),), rm.vocabulary[at]) for at in range(n)]
    told: list[tuple[int, int]] = []
    found = parts.exact_in_parts(rm, pairs, lambda done, total: told.append((done, total)))
    np.testing.assert_array_equal(found, rm.exact_rewards(pairs))
    assert told == [(done, n) for done in (*range(3, n, 3), n) if n]
