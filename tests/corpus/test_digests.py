"""What identifies prompts and data is the same however it is computed: stored runs are resumed by it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from corpus.records import Message, conversation_id, digest, digest_of_each

TEXTS = st.text(max_size=6) | st.sampled_from(['"', "\\", "é", "\ud800", "\n", "\x7f"])
VALUES = st.none() | TEXTS | st.integers() | st.lists(TEXTS, max_size=2)


@given(st.lists(VALUES, max_size=4))
def test_the_digest_of_each_is_that_of_the_list(values: list[object]) -> None:
    assert digest_of_each(iter(values)) == digest(values)


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=3))
def test_a_conversation_is_named_by_the_digest_of_its_turns(turns: list[tuple[str, str]]) -> None:
    conversation = tuple(Message(role=role, content=content) for role, content in turns)
    assert conversation_id(conversation) == digest([list(turn) for turn in turns])
