from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from attacks import Swap
from attacks.gcg import draw_edits


@given(st.text(), st.data())
def test_a_swap_changes_its_span_and_nothing_else(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    edited = Swap(start, end, "new").apply(text)
    assert edited.startswith(text[:start])
    assert edited.endswith(text[end:])
    assert len(edited) == len(text) - (end - start) + 3


def test_drawn_edits_are_different_and_come_from_the_table() -> None:
    import numpy as np

    table = (*(tuple(Swap(i, i + 1, str(n)) for n in range(5)) for i in range(4)), ())
    drawn = draw_edits(table, 12, np.random.default_rng(0))
    assert len(drawn) == len(set(drawn)) == 12
    assert set(drawn) <= {swap for row in table for swap in row}
    assert len(draw_edits(table, 100, np.random.default_rng(0))) == 20, "no more than there are"
