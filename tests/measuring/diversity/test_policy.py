"""Entropy, KL and the attractor test on policies whose answer is known."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt
import pytest

from corpus.records import Message, Prompt
from miner.errors import ModelError
from miner.judging.overlap import words
from miner.language_models import LanguageModel
from miner.language_models.reading import divergence, next_token_entropy
from miner.measuring.diversity.attractor import AttractorTest
from miner.measuring.diversity.response_sets import PromptResponses, ResponseSets
from miner.measuring.diversity.sampling import SamplePlan, sample_response_sets

PROMPT = (Message(role="user", content="What does `a` do?"),)
RESPONSES = ("Return the name of the file.", "", "Open")
TOKENS = 24
VOCABULARY = [*"abcdefghij", "x", "y"]


def bag_of_words(texts: Sequence[str]) -> npt.NDArray[np.float64]:
    """Unit vectors of word counts over ``VOCABULARY``; the empty text is nowhere."""
    rows = np.array([[Counter(words(text))[word] for word in VOCABULARY] for text in texts], dtype=np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return rows


def test_a_uniform_policy_has_the_entropy_of_its_vocabulary_at_every_position(uniform: LanguageModel) -> None:
    size = uniform.model.config.vocab_size
    found = next_token_entropy(uniform, PROMPT, RESPONSES, max_new_tokens=TOKENS)
    assert len(found) == len(RESPONSES) > 0
    for values, ids in zip(found, uniform.response_ids(RESPONSES), strict=True):
        assert len(values) == len(ids) + 1, "the end is a choice, too"
        np.testing.assert_allclose(values, math.log(size), rtol=1e-5)


def test_a_trained_policy_has_less_entropy_and_company_does_not_matter(policy: LanguageModel) -> None:
    together = next_token_entropy(policy, PROMPT, RESPONSES, max_new_tokens=TOKENS)
    assert all((values < math.log(policy.model.config.vocab_size)).all() for values in together)
    for text, values in zip(RESPONSES, together, strict=True):
        (alone,) = next_token_entropy(policy, PROMPT, [text], max_new_tokens=TOKENS)
        np.testing.assert_allclose(values, alone, atol=1e-4)


def test_the_end_of_a_response_that_was_cut_does_not_count(policy: LanguageModel) -> None:
    n = len(policy.response_ids(RESPONSES)[0])
    (values,) = next_token_entropy(policy, PROMPT, RESPONSES[:1], max_new_tokens=n)
    assert len(values) == n


def test_kl_from_the_uniform_policy_is_what_entropy_leaves(policy: LanguageModel, uniform: LanguageModel) -> None:
    entropies = next_token_entropy(policy, PROMPT, RESPONSES, max_new_tokens=TOKENS)
    size = math.log(policy.model.config.vocab_size)
    expected = [float((size - values).sum()) for values in entropies]
    np.testing.assert_allclose(
        divergence(policy, uniform, PROMPT, RESPONSES, max_new_tokens=TOKENS), expected, rtol=1e-4
    )
    np.testing.assert_allclose(divergence(policy, policy, PROMPT, RESPONSES, max_new_tokens=TOKENS), 0, atol=1e-5)


def test_kl_between_different_vocabularies_is_refused(policy: LanguageModel) -> None:
    import copy

    tokenizer = copy.deepcopy(policy.tokenizer)
    tokenizer.add_tokens(["new"])
    other = replace(policy, name="other", tokenizer=tokenizer)
    with pytest.raises(ModelError, match="do not share a tokenizer"):
        divergence(policy, other, PROMPT, RESPONSES, max_new_tokens=TOKENS)


def test_what_follows_a_prefix_is_written_behind_it(policy: LanguageModel) -> None:
    samples = policy.sample(PROMPT, 4, seed=0, max_new_tokens=8, temperature=0.1, prefix="Return the name of the")
    assert len(samples.continuations) == 4
    assert all(one.text.endswith("file.") and "Return" not in one.text for one in samples.continuations)


def test_a_chat_template_that_refuses_is_an_error_of_one_line(policy: LanguageModel) -> None:
    import copy

    tokenizer = copy.deepcopy(policy.tokenizer)
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(ModelError, match="roles must alternate") as caught:
        replace(policy, tokenizer=tokenizer).sample(PROMPT, 1, seed=0, max_new_tokens=4)
    assert "\n" not in str(caught.value)


def test_samples_are_read_again_from_the_folder(policy: LanguageModel, tmp_path: Path) -> None:
    prompts = [Prompt(conversation=PROMPT), Prompt(conversation=(Message(role="user", content="What does `b` do?"),))]
    plan, done = SamplePlan(n=3, max_new_tokens=6), []

    def ask(plan: SamplePlan) -> ResponseSets:
        return sample_response_sets(
            policy, prompts, plan, label="p", folder=tmp_path, progress=lambda *now: done.append(now)
        )

    first = ask(plan)
    assert done == [(1, 2), (2, 2)]
    assert ask(plan) == first
    assert len(done) == 2, "nothing was sampled again"
    assert ask(replace(plan, seed=1)) != first


def attractor_of(policy: LanguageModel, mode_distance: float) -> AttractorTest:
    return AttractorTest(
        policy=policy, embed=bag_of_words, plan=SamplePlan(n=3), off_mode_tokens=2, mode_distance=mode_distance
    )


def test_ends_return_where_they_are_as_close_as_texts_of_a_mode(policy: LanguageModel) -> None:
    test = attractor_of(policy, 0.5)
    pushed = test.pushed(*_two_prompts(), Random(0))
    assert pushed is not None
    assert (pushed.kept, set(pushed.ends)) == ("a b", {"c d"})
    assert set(pushed.forced.split()) <= set("xy")
    assert test.returned(pushed, ["c d", "d c", "x y", "", "c x y"]) == [True, True, False, False]


def test_a_prompt_without_a_mode_is_left_out(policy: LanguageModel) -> None:
    lone = PromptResponses(key="0", group="0", responses=("a b c d", "e f g h", "i j a e"))
    other = PromptResponses(key="1", group="1", responses=("x y x y",) * 3)
    response_sets = ResponseSets(label="w", written=(lone, other))
    assert attractor_of(policy, 0.2).pushed(lone, response_sets, Random(0)) is None


def test_a_policy_of_one_mind_returns_whatever_is_forced(policy: LanguageModel, tmp_path: Path) -> None:
    """Every prompt gets ends alike under an embedding that tells no texts apart: all return, so nothing pulls."""
    prompts = [Prompt(conversation=(Message(role="user", content=f"What does `{n}` do?"),)) for n in "abcdefghij"]
    plan = SamplePlan(n=6, max_new_tokens=24, temperature=0.6)
    written = sample_response_sets(policy, prompts, plan, label="p", folder=tmp_path, progress=lambda *_: None)
    test = replace(attractor_of(policy, 0.1), plan=plan, embed=lambda texts: np.ones((len(texts), 1)))
    found = test.run(written, lambda *_: None)
    assert found is not None
    assert found.prompts >= 5
    assert found.forced.value == found.free.value == found.stranger.value == 1
    assert found.pull.value == 0
    assert found.forced.n == round(found.ended.n * (1 - found.ended.value)), "what ended at once says nothing"


def _two_prompts() -> tuple[PromptResponses, ResponseSets]:
    one = PromptResponses(key="0", group="0", responses=("a b c d", "a b c d", "e f g h"))
    other = PromptResponses(key="1", group="1", responses=("x y x y",) * 3)
    return one, ResponseSets(label="w", written=(one, other))
