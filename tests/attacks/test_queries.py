from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from attacks import Query, Score, Swap
from attacks.climb import ValuedText, apply_all, step
from attacks.gcg import draw_edits


@given(st.text(), st.data())
def test_a_swap_changes_its_span_and_nothing_else(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    edited = Swap(start, end, "new").apply(text)
    assert edited.startswith(text[:start])
    assert edited.endswith(text[end:])
    assert len(edited) == len(text) - (end - start) + 3


def test_drawn_edits_are_different_and_take_positions_in_turn() -> None:
    table = (*(tuple(Swap(i, i + 1, str(n)) for n in range(5)) for i in range(4)), ())
    drawn = draw_edits(table, 12, 2.0, np.random.default_rng(0))
    assert len(drawn) == len(set(drawn)) == 12
    assert set(drawn) <= {swap for row in table for swap in row}
    assert [sorted(swap.start for swap in drawn[at : at + 4]) for at in (0, 4, 8)] == [[0, 1, 2, 3]] * 3
    assert len(draw_edits(table, 100, 2.0, np.random.default_rng(0))) == 20, "no more than there are"


def test_better_replacements_are_drawn_more_often() -> None:
    table = (tuple(Swap(0, 1, str(n)) for n in range(8)),)
    firsts = [draw_edits(table, 1, 2.0, np.random.default_rng(seed))[0].replacement for seed in range(300)]
    counts = [firsts.count(str(n)) for n in range(8)]
    assert counts[0] > counts[2] > counts[5] > 0


def told(
    search: Generator[Query[Any], Any, list[ValuedText]], reward: Callable[[str], float]
) -> tuple[list[ValuedText], int]:
    """The step's result on a reward of texts, and how many texts it paid for."""
    paid, query = 0, next(search)
    while True:
        assert isinstance(query, Score)
        paid += len(query.texts)
        try:
            query = search.send(np.array([[reward(text)] for text in query.texts]))
        except StopIteration as done:
            return done.value, paid


def test_a_step_merges_the_edits_that_help_and_pays_for_each_text_once() -> None:
    here = ValuedText("a a a a a a", 0.0)
    edits = [Swap(at, at + 1, new) for at, new in ((0, "b"), (2, "b"), (4, "b"), (6, "c"), (0, "c"))]
    found, paid = told(step(here, edits), lambda text: text.count("b") - text.count("c"))
    assert (found[0].text, found[0].value) == ("b b b a a a", 3.0)
    assert paid == len(edits) + 2, "all that helped, and the better half"
    assert [scored.value for scored in found] == sorted((scored.value for scored in found), reverse=True)


def test_a_step_without_two_edits_that_help_merges_nothing() -> None:
    found, paid = told(step(ValuedText("a a", 0.0), [Swap(0, 1, "b"), Swap(2, 3, "c")]), lambda text: text.count("b"))
    assert (found[0].text, paid) == ("b a", 2)


def test_of_two_edits_at_one_place_the_later_in_the_text_wins() -> None:
    text = "abc def ghi"
    assert apply_all(text, [Swap(0, 3, "one"), Swap(8, 11, "two")]) == "one def two"
    assert apply_all(text, [Swap(0, 5, "one"), Swap(4, 7, "two")]) == "abc two ghi"
    assert apply_all(text, [Swap(4, 7, "two"), Swap(4, 7, "three")]) in ("abc two ghi", "abc three ghi")
