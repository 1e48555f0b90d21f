"""Predicted gains are the reward's own slope: along an embedding, and summed over weighted prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from miner.rewards.base import Pair, RewardModel, SwapRequest
from miner.rewards.compute.gradients import EmbeddingTable, best_by_gain
from tests.rewards.models import ARCHITECTURES, CAUSAL, PAIRS, conversation

RmOf = Callable[[str], Any]

PROMPT = conversation("What does this function do?")
TEXT = "It opens a file, reads the text and closes it"
STEP = 1e-2


def reward_with_shift(rm: Any, pair: Pair, position: int, direction: torch.Tensor, size: float) -> float:
    """The reward when ``size · direction`` is added to one token's embedding."""

    def shifted(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        moved = output.clone()
        moved[0, position] += size * direction
        return moved

    hook = rm.model.get_input_embeddings().register_forward_hook(shifted)
    try:
        return float(rm.reward(pair))
    finally:
        hook.remove()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_gain_is_the_slope_of_the_reward_towards_the_replacement(name: str, rm_of: RmOf) -> None:
    rm, pair = rm_of(name), Pair(PROMPT, TEXT)
    encoded = rm.pipeline.encode(pair)
    (table,) = rm.swaps([SwapRequest(prompts=(PROMPT,), weights=(1.0,), response=TEXT, k=1)])
    embed = rm.model.get_input_embeddings()
    checked = 0
    for position, swaps in zip(encoded.positions, table, strict=True):
        for swap in swaps:
            after = rm.pipeline.ids([Pair(PROMPT, swap.apply(TEXT))])[0][0]
            with torch.no_grad():
                now, then = embed(torch.tensor([encoded.ids[position], after[position]]))
            up, down = (reward_with_shift(rm, pair, position, then - now, size) for size in (STEP, -STEP))
            assert swap.gain == pytest.approx((up - down) / (2 * STEP), rel=0.1, abs=0.1)
            checked += 1
    assert checked > 5


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_gains_rank_like_the_changes_of_a_small_step(name: str, rm_of: RmOf) -> None:
    """A small step towards another token changes the reward as its gain says, at every position."""
    rm = rm_of(name)
    pair = Pair(PROMPT, TEXT)
    encoded = rm.pipeline.encode(pair)
    rows = rm.embedding_rows()
    (gradient,) = rm.gradients([encoded], [1.0])
    rng = np.random.default_rng(0)
    predicted, seen = [], []
    for _ in range(30):
        index, token = int(rng.integers(len(encoded.positions))), int(rng.integers(len(rows)))
        change = rows[token] - rows[encoded.ids[encoded.positions[index]]]
        predicted.append(float(gradient[index] @ change))
        moved = reward_with_shift(rm, pair, encoded.positions[index], change, STEP)
        seen.append((moved - rm.reward(pair)) / STEP)
    assert spearmanr(predicted, seen).statistic > 0.9


@pytest.mark.parametrize("name", ["llama", "gemma2", "bert"])
def test_gain_of_several_prompts_is_the_weighted_sum(name: str, rm_of: RmOf) -> None:
    rm = rm_of(name)
    prompts, weights = (PROMPT, PAIRS[-1].prompt), (0.5, -2.0)
    encoded = [rm.pipeline.encode(Pair(prompt, TEXT)) for prompt in prompts]
    one, two = rm.gradients(encoded, [1.0, 1.0])
    weighted = rm.gradients(encoded, weights)
    expected = 0.5 * one - 2.0 * two  # (n_positions, hidden)
    torch.testing.assert_close(weighted[0] + weighted[1], expected, atol=1e-4, rtol=1e-4)
    (table,) = rm.swaps([SwapRequest(prompts=prompts, weights=weights, response=TEXT, k=2)])
    rows, ids = rm.embedding_rows(), encoded[0].ids
    for position, of_position, swaps in zip(encoded[0].positions, expected, table, strict=True):
        for swap in swaps:
            token = rm.pipeline.ids([Pair(PROMPT, swap.apply(TEXT))])[0][0][position]
            assert swap.gain == pytest.approx(float(of_position @ (rows[token] - rows[ids[position]])), abs=1e-3)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_gradients_do_not_depend_on_company(name: str, rm_of: RmOf) -> None:
    rm = rm_of(name)
    encoded = [rm.pipeline.encode(pair) for pair in PAIRS]
    together = rm.gradients(encoded, [1.0] * len(encoded))
    for one, expected in zip(encoded, together, strict=True):
        torch.testing.assert_close(rm.gradients([one], [1.0])[0], expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", CAUSAL)
def test_gradients_do_not_depend_on_the_side_of_padding(name: str, rm_of: RmOf) -> None:
    encoded = [rm_of(name).pipeline.encode(pair) for pair in PAIRS]
    right = rm_of(name).gradients(encoded, [1.0] * len(encoded))
    left = replace(rm_of(name), left_padding=True).gradients(encoded, [1.0] * len(encoded))
    assert len(right) == len(PAIRS)
    for a, b in zip(right, left, strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


def test_gradients_leave_no_trace_in_the_model(rm_of: RmOf) -> None:
    rm = rm_of("llama")
    before = rm.reward(PAIRS[0])
    rm.swaps([SwapRequest(prompts=(PROMPT,), weights=(1.0,), response=TEXT, k=2)])
    assert rm.reward(PAIRS[0]) == before
    assert all(parameter.grad is None for parameter in rm.model.parameters())


def test_embedding_table_includes_the_modules_own_scaling(rm_of: RmOf) -> None:
    rm = rm_of("gemma2")
    weight = rm.model.get_input_embeddings().weight
    torch.testing.assert_close(rm.embedding_rows(), weight * 32**0.5)


def test_embedding_table_is_computed_once_until_the_weights_are_trained() -> None:
    class Doubled(torch.nn.Embedding):
        calls = 0

        def forward(self, input: torch.Tensor) -> torch.Tensor:
            Doubled.calls += 1
            return 2 * super().forward(input)

    module = Doubled(3, 2)
    table = EmbeddingTable(module)
    first = table.rows()
    assert table.rows() is first
    assert Doubled.calls == 1
    with torch.no_grad():
        module.weight.add_(1)
    torch.testing.assert_close(table.rows(), 2 * module.weight.detach())


def test_best_by_gain_agrees_with_the_whole_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miner.rewards.compute.gradients.GAINS_AT_ONCE", 30)
    rng = torch.Generator().manual_seed(0)
    gradient, rows = torch.randn(7, 4, generator=rng), torch.randn(11, 4, generator=rng)
    here, allowed = torch.arange(7), torch.arange(11) % 3 > 0
    gains = gradient @ rows.T - (gradient * rows[here]).sum(1, keepdim=True)
    found = best_by_gain(gradient, rows, here, allowed, 4)
    for index in range(7):
        banned = ~allowed | (torch.arange(11) == index)
        expected = gains[index].masked_fill(banned, -torch.inf).topk(4).indices.tolist()
        assert [token for at, token, _ in found if at == index] == expected


def test_an_rm_that_only_scores_says_so(rm_of: RmOf) -> None:
    from miner.errors import CapabilityError

    class Scorer(RewardModel):
        name = "scorer"
        flops_per_token = 2.0
        reward = rewards = n_tokens = random_swaps = words = all_tokens = None  # type: ignore[assignment]

    scorer = Scorer()
    assert not scorer.has_gradients
    assert rm_of("llama").has_gradients
    assert scorer.flops(10) == 20.0
    with pytest.raises(CapabilityError, match="scorer gives no token gradients"):
        scorer.swaps([])
