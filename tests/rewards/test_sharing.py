"""Candidates of a search go through the model once as far as they agree, also when several searches share a call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.checkpoints.batching import TokenBudget
from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.rewards.base import Pair
from miner.rewards.compute.prefix_cache import common_prefix, head_lengths, sharing_order
from tests.rewards.conformance import TOLERANCE
from tests.rewards.models import CAUSAL, conversation

RmOf = Callable[[str], TransformerRewardModel]

TEXT = "return the text of the given file and the place it links to in a tree of other files"
WORDS = TEXT.split()
PROMPTS = [conversation("What does this function do? " * 5 + f"Number {n}") for n in (1, 2, 3)]  # of one length
few_ids = st.lists(st.integers(0, 2), min_size=1, max_size=12).map(tuple)
grouped_rows = st.lists(st.tuples(few_ids, st.integers(0, 3)), min_size=1, max_size=12)


def single_edits(n: int) -> list[str]:
    """``n`` texts that differ from one text in one word each."""
    return [" ".join([*WORDS[:at], "servant", *WORDS[at + 1 :]]) for at in np.arange(n) % len(WORDS)]


@contextmanager
def computed_tokens(rm: TransformerRewardModel) -> Iterator[list[int]]:
    """Token positions of every forward pass, padding included."""
    seen: list[int] = []

    def count(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        seen.append(kwargs["input_ids"].numel())

    body: Any = rm.model.base_model
    hook = body.register_forward_pre_hook(count, with_kwargs=True)
    try:
        yield seen
    finally:
        hook.remove()


@pytest.mark.parametrize("name", CAUSAL)
def test_prompts_in_one_call_do_not_destroy_each_others_sharing(name: str, rm_of: RmOf) -> None:
    interleaved = [Pair(prompt, text) for text in single_edits(16) for prompt in PROMPTS]
    alone: Any = rm_of(name)
    burdens = alone.burdens(alone.pipeline.ids(interleaved), [pair.prompt for pair in interleaved])
    rm: Any = replace(alone, budget=TokenBudget(8 * max(burdens)))
    total = sum(rm.n_tokens(pair) for pair in interleaved)
    with computed_tokens(rm) as shared:
        rewards = rm.rewards(interleaved)
    with computed_tokens(rm) as unshared:
        plain = replace(rm, share_prefixes=False).rewards(interleaved)
    assert sum(unshared) >= total
    assert sum(shared) < 0.5 * total  # it is 0.55 and more when prompts are mixed
    np.testing.assert_allclose(rewards, plain, atol=TOLERANCE)


def test_edits_near_the_end_share_the_unedited_head_too(rm_of: RmOf) -> None:
    rm = replace(rm_of("llama"), budget=TokenBudget(8 * 100))
    late = [" ".join([*WORDS[:-1], word]) for word in WORDS[:16]]
    with computed_tokens(rm) as shared:
        rm.rewards([Pair(PROMPTS[0], text) for text in late])
    assert sum(shared) < 0.25 * sum(rm.n_tokens(Pair(PROMPTS[0], text)) for text in late)


def test_confirmation_alone_uses_no_cache(rm_of: RmOf) -> None:
    rm = rm_of("llama")
    pair = Pair(PROMPTS[0], single_edits(1)[0])
    with computed_tokens(rm) as seen:
        rm.reward(pair)
    assert seen == [rm.n_tokens(pair)]


@given(grouped_rows)
def test_heads_are_prefixes_common_to_their_group_and_never_the_whole_row(
    grouped: list[tuple[tuple[int, ...], int]],
) -> None:
    rows, groups = [row for row, _ in grouped], [group for _, group in grouped]
    heads = head_lengths(rows, groups)
    assert len(heads) == len(rows)
    for row, group, head in zip(rows, groups, heads, strict=True):
        assert 0 <= head < len(row)
        assert all(other[:head] == row[:head] for other, of in zip(rows, groups, strict=True) if of == group)


@given(grouped_rows)
def test_order_keeps_every_row_once_and_groups_together(grouped: list[tuple[tuple[int, ...], int]]) -> None:
    rows, groups = [row for row, _ in grouped], [group for _, group in grouped]
    order = sharing_order(rows, groups)
    assert sorted(order) == list(range(len(rows)))
    changes = sum(groups[a] != groups[b] for a, b in pairwise(order))
    assert changes == len(set(groups)) - 1


@given(st.lists(few_ids, min_size=1), st.integers(0, 12))
def test_common_prefix_is_the_longest(rows: list[tuple[int, ...]], at_most: int) -> None:
    n = common_prefix(rows, at_most)
    assert len({row[:n] for row in rows}) == 1
    assert n == at_most or len({row[: n + 1] for row in rows}) > 1 or min(map(len, rows)) == n


def test_a_cache_of_another_kind_is_not_shared(rm_of: RmOf, monkeypatch: pytest.MonkeyPatch) -> None:
    rm: Any = rm_of("qwen3")
    pairs = [Pair(PROMPTS[0], text) for text in single_edits(8)]
    with monkeypatch.context() as patch:
        patch.setattr(rm.model.config, "layer_types", ["full_attention", "linear_attention"])
        hybrid = replace(rm)
    with computed_tokens(hybrid) as seen:
        hybrid.rewards(pairs)
    assert len(seen) == 1


@pytest.mark.parametrize("name", CAUSAL)
def test_the_flops_booked_are_those_of_the_tokens_computed(name: str, rm_of: RmOf) -> None:
    """The prompt of a batch of candidates is paid for once, and by an RM that shares nothing with every text."""
    rm: Any = rm_of(name)
    prompt = conversation("What does this function do? " * 20)
    pairs = [Pair(prompt, text) for text in single_edits(8)]
    with computed_tokens(rm) as computed:
        rm.exact_rewards(pairs)
    each = sum(map(rm.flops, rm.lengths(pairs)))
    booked = rm.flops_together(pairs)
    assert booked < 0.6 * each
    assert booked / each == pytest.approx(sum(computed) / sum(rm.lengths(pairs)), rel=0.35)
    assert rm.flops_together(pairs[:1]) == rm.flops(rm.n_tokens(pairs[0]))
    plain: Any = replace(rm, share_prefixes=False)
    assert plain.flops_together(pairs) == pytest.approx(each)
