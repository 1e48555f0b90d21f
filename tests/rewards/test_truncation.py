"""An over-long input is an error, or cut as asked: never silently."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from transformers import AutoTokenizer

from miner.errors import ModelError, TooLongError
from miner.rewards import load_reward_model
from miner.rewards.base import Pair, SwapRequest
from tests.rewards.conformance import TOLERANCE, plain_rewards
from tests.rewards.models import ARCHITECTURES, PAIRS, conversation

FolderOf = Callable[[str], Path]
RmOf = Callable[[str], Any]

LONG = Pair(conversation("What does this function do?"), "It opens a file. " * 100)


def ask_swaps(rm: Any, pair: Pair) -> Any:
    return rm.swaps([SwapRequest(prompts=(pair.prompt,), weights=(1.0,), response=pair.response, k=1)])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_over_long_input_is_an_error_whatever_is_asked(name: str, rm_of: RmOf) -> None:
    rm = rm_of(name)
    asks: list[Callable[[], object]] = [
        lambda: rm.reward(LONG),
        lambda: rm.rewards([*PAIRS, LONG]),
        lambda: rm.exact_rewards([LONG]),
        lambda: rm.n_tokens(LONG),
        lambda: rm.random_swaps(LONG, 3, np.random.default_rng(0)),
        lambda: ask_swaps(rm, LONG),
    ]
    for ask in asks:
        with pytest.raises(TooLongError, match=r"input of \d+ tokens is over the RM's maximum of 256\. Give shorter"):
            ask()


@pytest.mark.parametrize("name", ["llama", "roberta"])
def test_the_limit_itself_is_allowed_and_one_more_is_not(name: str, rm_of: RmOf, folder_of: FolderOf) -> None:
    n = rm_of(name).n_tokens(PAIRS[0])
    fits = load_reward_model(folder_of(name), device="cpu", dtype="float32", max_length=n)
    assert fits.reward(PAIRS[0]) == pytest.approx(rm_of(name).reward(PAIRS[0]), abs=TOLERANCE)
    with pytest.raises(TooLongError):
        load_reward_model(folder_of(name), device="cpu", dtype="float32", max_length=n - 1).reward(PAIRS[0])


def test_the_longest_input_a_roberta_takes_has_a_position_for_every_token(rm_of: RmOf) -> None:
    """Its positions start behind the padding id, so two of its 258 are out of reach."""
    rm = rm_of("roberta")
    words = "file " * 300
    longest = next(p for n in range(300, 0, -1) if (p := Pair(LONG.prompt, words[: 5 * n])) and fits(rm, p))
    assert rm.n_tokens(longest) == rm.pipeline.max_length == 256
    assert np.isfinite(rm.reward(longest))


def fits(rm: Any, pair: Pair) -> bool:
    try:
        return bool(rm.n_tokens(pair))
    except TooLongError:
        return False


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_explicit_truncation_is_plain_transformers_truncation(
    name: str, side: Literal["left", "right"], rm_of: RmOf, folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    rm = load_reward_model(folder_of(name), device="cpu", dtype="float32", max_length=16, truncation=side)
    load = AutoTokenizer.from_pretrained
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda folder: load(folder, truncation_side=side))
    expected = plain_rewards(folder_of(name), [*PAIRS, LONG], truncation=True, max_length=16)
    np.testing.assert_allclose(rm.rewards([*PAIRS, LONG]), expected, atol=TOLERANCE)
    np.testing.assert_allclose(rm.exact_rewards([*PAIRS, LONG]), expected, atol=TOLERANCE)
    assert rm.n_tokens(LONG) == 16
    assert np.abs(expected[:-1] - rm_of(name).rewards(PAIRS)).max() > TOLERANCE  # something was cut


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", ["llama", "bert"])
def test_edits_of_a_truncated_text_lie_in_what_is_left_of_it(
    name: str, side: Literal["left", "right"], rm_of: RmOf
) -> None:
    rm = rm_of(name)
    rm = replace(rm, pipeline=replace(rm.pipeline, max_length=40, truncation=side))
    encoded = rm.pipeline.encode(LONG)
    assert encoded.positions
    edges = [end for _, end in encoded.spans] if side == "left" else [len(LONG.response) - s for s, _ in encoded.spans]
    assert min(edges) > len(LONG.response) / 2
    for swap in rm.random_swaps(LONG, 5, np.random.default_rng(0)):
        assert rm.reward(Pair(LONG.prompt, swap.apply(LONG.response))) != rm.reward(LONG)


def test_truncation_leaves_the_tokenizer_as_it_was(rm_of: RmOf) -> None:
    rm = rm_of("bert")
    before = rm.pipeline.backend.to_str()
    replace(rm, pipeline=replace(rm.pipeline, max_length=40, truncation="left")).rewards([LONG])
    assert rm.pipeline.backend.to_str() == before


@pytest.mark.parametrize("max_length", [0, -1, 257, 10**6])
@pytest.mark.parametrize("name", ["llama", "roberta"])
def test_a_length_the_model_cannot_take_is_refused(name: str, max_length: int, folder_of: FolderOf) -> None:
    with pytest.raises(ModelError, match=r"out of range: the model takes 1 to 256|greater than or equal to 8"):
        load_reward_model(folder_of(name), device="cpu", max_length=max_length)
