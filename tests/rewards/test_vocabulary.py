"""Only tokens that some text gives, that can be printed and that mean nothing special are offered to attacks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from miner.errors import ModelError
from miner.rewards import load_reward_model
from miner.rewards.base import Pair
from miner.rewards.text.vocabulary import Vocabulary
from tests.rewards.models import ARCHITECTURES, conversation
from tests.rewards.tokenizers import byte_level, fast

RmOf = Callable[[str], Any]


def pieces(rm: Any) -> set[str]:
    allowed = np.flatnonzero(rm.vocabulary.allowed).tolist()
    return set(rm.pipeline.tokenizer.convert_ids_to_tokens(allowed))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_allowed_tokens_are_printable_and_nothing_special(name: str, rm_of: RmOf) -> None:
    rm = rm_of(name)
    special = {int(i) for i in rm.pipeline.tokenizer.all_special_ids}
    allowed = np.flatnonzero(rm.vocabulary.allowed).tolist()
    assert len(allowed) > 100
    assert special.isdisjoint(allowed)
    for token in allowed:
        surface = rm.vocabulary.surfaces[token]
        assert surface.strip(" ")
        assert surface.isprintable()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_lone_token_is_one_token_of_a_response(name: str, rm_of: RmOf) -> None:
    rm, prompt = rm_of(name), conversation("Hello")
    texts = rm.all_tokens()
    assert len(texts) == len(set(texts)) > 10
    assert texts == rm.all_tokens()
    assert {len(rm.pipeline.encode(Pair(prompt, text)).positions) for text in texts} == {1}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_words_are_whole_words(name: str, rm_of: RmOf) -> None:
    words = rm_of(name).words(50, np.random.default_rng(0))
    assert len(words) == 50
    assert all(word.isalpha() and len(word) > 1 for word in words)
    assert words == rm_of(name).words(50, np.random.default_rng(0))


@pytest.mark.parametrize("name", ["llama", "bert", "gemma2"])
def test_ascii_leaves_only_ascii(name: str, rm_of: RmOf, folder_of: Callable[[str], Path]) -> None:
    rm = load_reward_model(folder_of(name), device="cpu", dtype="float32", ascii_only=True)
    assert all(text.isascii() for text in rm.all_tokens())
    assert not all(text.isascii() for text in rm_of(name).all_tokens())
    swaps = rm.random_swaps(Pair(conversation("Hello"), "It opens a file."), 50, np.random.default_rng(0))
    assert all(swap.replacement.isascii() for swap in swaps)


def test_entries_that_no_text_reaches_are_left_out(rm_of: RmOf) -> None:
    assert {"[unused1]", "A", "Ä"}.isdisjoint(pieces(rm_of("bert")))  # no text, and capitals of an uncased model
    assert {"a", "##e"} <= pieces(rm_of("bert"))
    assert not any(piece.startswith("<0x") for piece in pieces(rm_of("mistral")))


def test_a_space_is_part_of_the_token_that_carries_it(rm_of: RmOf) -> None:
    for name, piece, surface in (("llama", "Ġthe", " the"), ("gemma2", "▁the", " the"), ("bert", "the", "the")):
        token = rm_of(name).pipeline.tokenizer.convert_tokens_to_ids(piece)
        assert rm_of(name).vocabulary.surfaces[token] == surface


def test_a_letter_that_other_tokenizers_use_as_a_sign_stays_a_letter() -> None:
    """Maltese Ġ in a unigram vocabulary makes no byte-level one of it."""
    backend = Tokenizer(models.Unigram([("<unk>", 0.0), ("▁Ġ", -1.0), ("▁the", -1.0), ("Ġobża", -1.0)], unk_id=0))
    vocabulary = Vocabulary.of(fast(backend, unk_token="<unk>"), 4, ascii_only=False)
    assert vocabulary.surfaces == ("<unk>", " Ġ", " the", "Ġobża")


def test_embedding_rows_beyond_the_tokenizer_are_never_allowed() -> None:
    tokenizer = fast(byte_level(["</s>"]), eos_token="</s>")
    size = len(tokenizer) + 9
    vocabulary = Vocabulary.of(tokenizer, size, ascii_only=False)
    assert len(vocabulary.surfaces) == len(vocabulary.allowed) == size
    assert not vocabulary.allowed[-9:].any()


def test_a_filter_that_leaves_nothing_is_an_error() -> None:
    backend = Tokenizer(models.WordLevel({"<unk>": 0, "日本": 1}, unk_token="<unk>"))
    with pytest.raises(ModelError, match=r"leaves no token\. Try without --ascii"):
        Vocabulary.of(fast(backend, unk_token="<unk>"), 2, ascii_only=True)
