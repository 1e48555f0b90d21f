"""Soft tokens: what is read off is text, the same for the same seed, and better than where it began."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from miner.rewards.base import Pair, RelaxRequest
from miner.rewards.compute.relaxation import _embedded, relax
from tests.rewards.models import ARCHITECTURES, conversation

RmOf = Callable[[str], Any]
PROMPT = conversation("What does this function do?")


def request(text: str, *, steps: int = 12, seed: int = 0) -> RelaxRequest:
    return RelaxRequest(Pair(PROMPT, text), steps, 3, 1.0, 1.0, seed)


def words(rm: Any, seed: int, n: int = 6) -> str:
    return " ".join(rm.words(n, np.random.default_rng(seed)))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_texts_read_off_beat_the_texts_they_began_at(name: str, rm_of: RmOf) -> None:
    rm = rm_of(name)
    starts = [words(rm, seed) for seed in range(6)]
    found = relax(rm, [request(text) for text in starts])
    before = rm.rewards([Pair(PROMPT, text) for text in starts])
    after = [rm.rewards([Pair(PROMPT, text) for text in texts]).max() for texts in found]
    assert np.mean(after) > np.mean(before)
    assert all(1 <= len(texts) <= 3 for texts in found)


def test_company_and_order_change_nothing(rm_of: RmOf) -> None:
    rm = rm_of("bert")
    requests = [request(words(rm, 1)), request(words(rm, 2, n=9), seed=4), request(words(rm, 3), steps=5)]
    together = relax(rm, requests)
    assert together == [relax(rm, [one])[0] for one in requests]


@pytest.mark.parametrize("name", ["bert", "llama", "gemma2"])
def test_embedding_the_tokens_that_are_there_changes_no_reward(name: str, rm_of: RmOf) -> None:
    rm = rm_of(name)
    pair = Pair(PROMPT, words(rm, 5))
    encoded = rm.pipeline.encode(pair)
    here = torch.tensor([encoded.ids[i] for i in encoded.positions])
    everywhere = list(range(len(encoded.positions)))
    with _embedded(rm, [encoded], [everywhere], [rm.embedding_rows()[here]]):
        inside = rm.reward(pair)
    assert inside == pytest.approx(rm.reward(pair), abs=1e-5)


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_attributions_lie_on_the_tokens(name: str, rm_of: RmOf) -> None:
    rm = rm_of(name)
    text = words(rm, 6)
    shares = rm.attributions(Pair(PROMPT, text), 16)
    assert len(shares) == len(rm.pipeline.encode(Pair(PROMPT, text)).positions)
    assert all(text[one.start : one.end].strip() for one in shares)
    assert sum(one.value for one in shares) != 0
