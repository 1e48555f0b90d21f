"""Which tokens are no text: those marked special and those that mark turns, not whatever was added to a vocabulary."""

from __future__ import annotations

from typing import Any

import numpy as np
from tokenizers import AddedToken

from miner.checkpoints.tokenizers import special_tokens
from miner.rewards.text.vocabulary import Vocabulary
from miner.searching.confirmation import Confirmation
from tests.rewards.tokenizers import byte_level, fast

TEXT = ["\n", "\n\n", "    ", "<table>"]  # as Gemma's vocabulary has them
TURNS = ["<|user|>", "<|assistant|>", "<|end|>"]  # added, but not marked special
TEMPLATE = "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"


def tokenizer() -> Any:
    backend = byte_level(["<s>", "</s>"])
    backend.add_tokens([AddedToken(token, special=False, normalized=False) for token in (*TEXT, *TURNS)])
    backend.add_special_tokens(["<|control|>"])
    return fast(backend, template=TEMPLATE, bos_token="<s>", eos_token="</s>")


def test_special_are_the_marked_ones_and_the_templates_marks() -> None:
    found = special_tokens(tokenizer())
    assert set(found) == {"<s>", "</s>", "<|control|>", *TURNS}
    assert found == {token: tokenizer().convert_tokens_to_ids(token) for token in found}


def test_a_template_that_refuses_the_turns_leaves_what_its_text_shows() -> None:
    one = tokenizer()
    one.chat_template = "{{ raise_exception('no <|end|> today') }}"
    assert set(special_tokens(one)) == {"<s>", "</s>", "<|control|>", "<|end|>"}


def test_text_in_added_tokens_may_be_edited_and_found() -> None:
    one = tokenizer()
    allowed = Vocabulary.of(one, len(one), ascii_only=False).allowed
    offered = set(one.convert_ids_to_tokens(np.flatnonzero(allowed).tolist()))
    assert "<table>" in offered
    assert offered.isdisjoint([*TURNS, "<s>", "</s>", "<|control|>"])
    assert _is_plain(one, "two\n\nlines <table>    and more")
    assert not _is_plain(one, "two <|end|> lines")
    assert not _is_plain(one, "two </s> lines")


def _is_plain(one: Any, text: str) -> bool:
    class Rm:
        special_tokens = tuple(special_tokens(one))

    nothing: Any = None
    rm: Any = Rm()
    return Confirmation(rm=rm, criteria=nothing).is_plain(text)
