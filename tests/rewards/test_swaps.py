"""An edit offered for a text, applied and encoded again, is that one token exchanged and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attacks.queries import Swap
from corpus.records import Conversation
from miner.errors import ModelError
from miner.rewards.base import Pair, SwapRequest
from miner.rewards.text.pipeline import ChatPipeline
from tests.rewards.models import ARCHITECTURES, PAIRS, conversation

RmOf = Callable[[str], Any]

PROMPT = conversation("What does this function do?")
TEXTS = st.one_of(
    st.lists(st.sampled_from(["the", "file", " ", "  ", "It", "reads,", "größer", "日本", "🙂", "12", "\n"])).map(
        " ".join
    ),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Co", "Cn"]), max_size=25),
)


def ids(rm: Any, prompt: Conversation, text: str) -> tuple[int, ...]:
    row: tuple[int, ...] = rm.pipeline.ids([Pair(prompt, text)])[0][0]
    return row


def exchanged(rm: Any, prompt: Conversation, text: str, swap: Swap) -> list[int]:
    """Positions at which the edited text's ids differ; lengths must agree."""
    before, after = ids(rm, prompt, text), ids(rm, prompt, swap.apply(text))
    assert len(before) == len(after)
    return [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS, seed=st.integers(0, 1000))
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_random_swaps_survive_in_context(name: str, text: str, seed: int, rm_of: RmOf) -> None:
    rm = rm_of(name)
    encoded = rm.pipeline.encode(Pair(PROMPT, text))
    swaps = rm.random_swaps(Pair(PROMPT, text), 6, np.random.default_rng(seed))
    assert len(swaps) <= 6
    for swap in swaps:
        (where,) = exchanged(rm, PROMPT, text, swap)
        assert where in encoded.positions
        assert rm.vocabulary.allowed[ids(rm, PROMPT, swap.apply(text))[where]]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_gradient_swaps_survive_in_context_best_first(name: str, text: str, rm_of: RmOf) -> None:
    rm = rm_of(name)
    encoded = rm.pipeline.encode(Pair(PROMPT, text))
    (table,) = rm.swaps([SwapRequest(prompts=(PROMPT,), weights=(1.0,), response=text, k=3)])
    assert len(table) == len(encoded.positions)
    for position, swaps in zip(encoded.positions, table, strict=True):
        assert len(swaps) <= 3
        assert [swap.gain for swap in swaps] == sorted((swap.gain for swap in swaps), reverse=True)
        assert all(exchanged(rm, PROMPT, text, swap) == [position] for swap in swaps)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_ordinary_text_offers_swaps_at_most_positions(name: str, rm_of: RmOf) -> None:
    text = "The answer is short and good, it copies a tree of files to another place."
    (table,) = rm_of(name).swaps([SwapRequest(prompts=(PROMPT,), weights=(1.0,), response=text, k=4)])
    assert np.mean([len(swaps) == 4 for swaps in table]) > 0.6
    assert len(rm_of(name).random_swaps(Pair(PROMPT, text), 20, np.random.default_rng(0))) == 20


@pytest.mark.parametrize("name", ["llama", "gemma2", "bert"])
def test_swaps_for_several_prompts_survive_on_each(name: str, rm_of: RmOf) -> None:
    rm, text = rm_of(name), "It opens a file, reads the text and closes it"
    prompts = tuple(dict.fromkeys(pair.prompt for pair in PAIRS))
    (table,) = rm.swaps([SwapRequest(prompts=prompts, weights=(1.0,) * len(prompts), response=text, k=3)])
    for swap in (swap for swaps in table for swap in swaps):
        assert [len(exchanged(rm, prompt, text, swap)) for prompt in prompts] == [1] * len(prompts)
    assert sum(map(len, table)) > len(table)


def test_a_swap_that_one_prompt_does_not_allow_is_not_offered(rm_of: RmOf) -> None:
    """This template puts a space before the answer to a longer conversation, and the first token takes it along."""
    tokenizer = copy.deepcopy(rm_of("llama").pipeline.tokenizer)
    tokenizer.chat_template = (
        "{% for m in messages %}{{ '\n' if messages | length < 3 else '. ' }}{{ m['content'] }}{% endfor %}"
    )
    rm = replace(rm_of("llama"), pipeline=ChatPipeline(tokenizer=tokenizer, max_length=None))
    prompts = (PROMPT, conversation("Count", "1, 2", "and on"))
    text = "a file opens"
    (one,) = rm.swaps([SwapRequest(prompts=prompts[:1], weights=(1.0,), response=text, k=3)])
    (both,) = rm.swaps([SwapRequest(prompts=prompts, weights=(1.0, 1.0), response=text, k=3)])
    assert len(one) == len(both)
    assert (len(one[0]), len(both[0])) == (3, 0)
    for swap in (swap for swaps in both for swap in swaps):
        assert [len(exchanged(rm, prompt, text, swap)) for prompt in prompts] == [1, 1]


@pytest.mark.parametrize("name", ["gemma2", "mistral", "deberta_v2"])
def test_the_first_word_is_replaced_without_a_space_in_front(name: str, rm_of: RmOf) -> None:
    """The space it carries is the template's, or put there by the tokenizer."""
    (table,) = rm_of(name).swaps([SwapRequest(prompts=(PROMPT,), weights=(1.0,), response="a file opens", k=5)])
    first = next(swaps for swaps in table if swaps)
    assert first[0].start == 0
    assert not any(swap.replacement.startswith(" ") for swap in first)


def test_random_swaps_are_different_and_repeat_with_their_seed(rm_of: RmOf) -> None:
    pair = Pair(PROMPT, "It opens a file")
    first, again, other = (rm_of("llama").random_swaps(pair, 30, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert len(set(first)) == len(first) == 30


def test_random_swaps_reach_every_position_and_most_tokens(rm_of: RmOf) -> None:
    pair = Pair(PROMPT, "It opens a file, reads the text and closes it")
    swaps = rm_of("llama").random_swaps(pair, 2000, np.random.default_rng(0))
    n_positions = len(rm_of("llama").pipeline.encode(pair).positions)
    assert len({swap.start for swap in swaps}) >= 0.9 * n_positions
    assert len({swap.replacement for swap in swaps}) > 0.8 * rm_of("llama").vocabulary.allowed.sum()


@pytest.mark.parametrize("text", ["", " ", "🙂"])
def test_a_text_that_has_no_editable_token_offers_nothing_and_breaks_nothing(text: str, rm_of: RmOf) -> None:
    for name in ("gemma2", "bert"):
        (table,) = rm_of(name).swaps([SwapRequest(prompts=(PROMPT,), weights=(1.0,), response=text, k=3)])
        assert all(swaps == () or exchanged(rm_of(name), PROMPT, text, swaps[0]) for swaps in table)
        rm_of(name).random_swaps(Pair(PROMPT, text), 3, np.random.default_rng(0))


@pytest.mark.parametrize("response", ["user", "What does this function do?", "end", "s", "assistant user end_of_turn"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_response_is_found_where_the_template_repeats_it(name: str, response: str, rm_of: RmOf) -> None:
    """Markers of the template and the prompt hold the same words; only the response's own may be edited."""
    rm = rm_of(name)
    prompt = conversation(f"{response} {response}")
    encoded = rm.pipeline.encode(Pair(prompt, response))
    marked = rm.pipeline.encode(Pair(prompt, f"{response} 6789")).positions
    assert encoded.positions
    assert encoded.positions[0] == marked[0]
    assert encoded.spans[0][0] == 0
    assert encoded.spans[-1][1] == len(response)


def test_a_template_that_rewrites_the_response_is_an_error_that_says_so(rm_of: RmOf) -> None:
    tokenizer = copy.deepcopy(rm_of("llama").pipeline.tokenizer)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] | upper }}{% endfor %}"
    pipeline = ChatPipeline(tokenizer=tokenizer, max_length=None)
    with pytest.raises(ModelError, match="rewrites this response"):
        pipeline.encode(Pair(PROMPT, "lower case"))


THINK = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}<think>\n"
    "{{ m['content'].split('</think>')[0].split('<think>')[-1].strip() if '</think>' in m['content'] }}\n</think>\n\n"
    "{{ m['content'].split('</think>')[-1].lstrip() }}</s>\n{% else %}{{ m['content'] }}\n{% endif %}{% endfor %}"
)


@pytest.mark.parametrize("block", ["<think>\n\nShort.\n\n</think>\n\n", "<think>Short.</think>\n", ""])
def test_tokens_behind_a_block_that_the_template_rewrites_are_found(block: str, rm_of: RmOf) -> None:
    tokenizer = copy.deepcopy(rm_of("llama").pipeline.tokenizer)
    tokenizer.chat_template = THINK
    pipeline = ChatPipeline(tokenizer=tokenizer, max_length=None)
    answer = "You should wipe the kettle; it copies a tree."
    encoded = pipeline.encode(Pair(PROMPT, block + answer))
    said = "".join((block + answer)[start:end] for start, end in encoded.spans)  # offsets leave spaces out
    assert said.replace(" ", "").endswith(answer.replace(" ", ""))
    assert tokenizer.decode([encoded.ids[i] for i in encoded.positions]).endswith("it copies a tree.")


def test_a_template_that_refuses_the_roles_is_an_error_that_says_so(rm_of: RmOf) -> None:
    tokenizer = copy.deepcopy(rm_of("llama").pipeline.tokenizer)
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    pipeline = ChatPipeline(tokenizer=tokenizer, max_length=None)
    with pytest.raises(ModelError, match="refuses turns of user, assistant: roles must alternate"):
        pipeline.ids([Pair(PROMPT, "text")])
