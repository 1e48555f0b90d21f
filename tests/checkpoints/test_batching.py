"""Out of memory halves the batch until it fits, and that is remembered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from miner.checkpoints.batching import TokenBudget, out_of_memory
from miner.errors import ModelError
from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.rewards.base import Pair, SwapRequest
from tests.rewards.conformance import TOLERANCE, Rewards
from tests.rewards.models import PAIRS

Forward = Callable[[list[int]], npt.NDArray[np.float64]]


class Device:
    """Computes the index of each item as its value, as long as no more than ``memory`` padded tokens come at once."""

    def __init__(self, lengths: Sequence[int], memory: int) -> None:
        self.lengths, self.memory = lengths, memory
        self.refused = 0
        self.batches: list[list[int]] = []

    def forward(self, batch: list[int]) -> npt.NDArray[np.float64]:
        if len(batch) * max(self.lengths[i] for i in batch) > self.memory:
            self.refused += 1
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.batches.append(batch)
        return np.array(batch, dtype=float)


lengths_and_memory = st.lists(st.integers(1, 50), max_size=40).flatmap(
    lambda lengths: st.tuples(st.just(lengths), st.integers(max(lengths, default=1), 400))
)


@given(lengths_and_memory, st.integers(1, 5000), st.booleans())
def test_every_item_is_computed_once_whatever_fits(
    case: tuple[list[int], int], batch_tokens: int, in_given_order: bool
) -> None:
    lengths, memory = case
    device = Device(lengths, memory)
    order = list(range(len(lengths))) if in_given_order else None
    results = TokenBudget(batch_tokens).run(lengths, device.forward, order)
    assert results.tolist() == list(range(len(lengths)))
    assert sorted(i for batch in device.batches for i in batch) == list(range(len(lengths)))


def test_halving_is_remembered_by_the_next_call() -> None:
    lengths = [10] * 64
    device, budget = Device(lengths, memory=100), TokenBudget(640)
    budget.run(lengths, device.forward)
    assert device.refused == 3  # 640 → 320 → 160 → 80
    assert budget.batch_tokens == 80
    budget.run(lengths, device.forward)
    assert device.refused == 3


def test_a_forward_that_costs_more_memory_gets_smaller_batches() -> None:
    lengths = [10] * 8
    device = Device(lengths, memory=40)
    TokenBudget(160).run(lengths, device.forward, memory_factor=4)
    assert device.refused == 0
    assert {len(batch) for batch in device.batches} == {4}


def test_order_is_longest_first_unless_given() -> None:
    lengths = [3, 9, 5]
    for order, expected in ((None, [[1], [2], [0]]), ([0, 1, 2], [[0], [1], [2]])):
        device = Device(lengths, memory=100)
        TokenBudget(1).run(lengths, device.forward, order)
        assert device.batches == expected


def test_one_text_that_does_not_fit_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ModelError, match=r"one text of 50 tokens does not fit .* Try --dtype bfloat16"):
        TokenBudget(1000).run([50], Device([50], memory=49).forward)


def test_other_errors_pass_unchanged() -> None:
    def forward(batch: list[int]) -> npt.NDArray[np.float64]:
        raise RuntimeError(f"shape mismatch in {batch}")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        TokenBudget(1000).run([1, 2], forward)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("Allocation on device"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"),
        MemoryError(),
    ],
)
def test_out_of_memory_is_recognised_on_every_device(error: BaseException) -> None:
    assert out_of_memory(error)


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_a_model_short_of_memory_gives_the_same_rewards_and_swaps(
    name: str,
    rm_of: Callable[[str], TransformerRewardModel],
    expected_of: Callable[[str], Rewards],
) -> None:
    rm = replace(rm_of(name), budget=TokenBudget(4096))
    requests = [SwapRequest(prompts=(pair.prompt,), weights=(1.0,), response=pair.response, k=2) for pair in PAIRS[:4]]
    tables = rm.swaps(requests)
    most = 2 * max(rm.n_tokens(pair) for pair in PAIRS)

    def short_of_memory(_module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        ids = args[0] if args else kwargs["input_ids"]
        if ids.numel() > most:
            raise RuntimeError("out of memory")

    body: Any = rm.model.base_model
    hook = body.register_forward_pre_hook(short_of_memory, with_kwargs=True)
    try:
        np.testing.assert_allclose(rm.rewards(PAIRS), expected_of(name), atol=TOLERANCE)
        assert [[[s.replacement for s in p] for p in t] for t in rm.swaps(requests)] == [
            [[s.replacement for s in p] for p in t] for t in tables
        ]
    finally:
        hook.remove()
    assert rm.budget.batch_tokens < 4096


def test_no_pairs_have_no_rewards(rm_of: Callable[[str], TransformerRewardModel]) -> None:
    none: list[Pair] = []
    assert rm_of("llama").rewards(none).shape == rm_of("bert").exact_rewards(none).shape == (0,)
