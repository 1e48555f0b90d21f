"""Searches asked by hand: what they claim, what they pay for, and where they climb from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from attacks import Sample, Score, Swap, Task, Tasks, Words
from attacks.best_of_n import BestOfN
from attacks.climb import climb, random_words
from attacks.corrupt import Corrupt
from attacks.queries import Continuation, RandomSwaps


def scored(search: Any, answer: Callable[[Any], Any], *, queries: int = 200) -> list[Score]:
    """The ``Score`` queries of a search that is told by ``answer`` what it asks; texts are worth nothing."""
    found, told = [], None
    for _ in range(queries):
        try:
            query = search.send(told)
        except StopIteration:
            break
        if isinstance(query, Score):
            found.append(query)
            told = np.zeros((len(query.texts), 1))
        else:
            told = answer(query)
    return found


def claims(reference: str) -> dict[str, str | None]:
    """What ``corrupt`` claims of each of its texts."""

    def answer(query: Any) -> Any:
        if isinstance(query, Tasks):
            return (Task(question="What is it?", reference=reference),)
        return ("zq", "xv", "kj") if isinstance(query, Words) else ("Another answer.",)

    told: dict[str, str | None] = {}
    for query in scored(Corrupt(variants=4).search(0), answer):
        told |= dict(zip(query.texts, query.constructions, strict=True))
    return told


def test_a_shuffle_is_claimed_only_of_enough_words() -> None:
    short, long = "one two three four", "one two three four five six seven eight nine"
    for reference, claim in ((short, None), (long, "shuffled_words")):
        words = sorted(reference.split())
        shuffles = [text for text in claims(reference) if text != reference and sorted(text.split()) == words]
        assert shuffles
        assert {claims(reference)[text] for text in shuffles} == {claim}


def test_a_sample_is_paid_for_once() -> None:
    def answer(query: Any) -> Any:
        assert isinstance(query, Sample)
        return tuple(Continuation(text=text, log_probability=-1.0) for text in ("a", "b", "a", " "))

    queries = scored(BestOfN(n=12, batch=4).search(0), answer)
    assert [query.texts for query in queries] == [("a", "b")]


def test_a_climb_goes_on_from_its_best_text() -> None:
    """Every edit is worse than the start: all steps are proposed for the start."""
    proposed: list[str] = []

    def propose(text: str, rng: np.random.Generator) -> Any:
        del rng
        proposed.append(text)
        return (Swap(0, len(text), f"w{len(proposed)}"),)
        yield

    rng = np.random.default_rng(0)
    search = climb(rng, start=random_words(1, rng), patience=4, perturbations=1, propose=propose)
    told: Any = None
    while len(proposed) < 4:
        query = search.send(told)
        if isinstance(query, Score):
            told = np.array([[1.0 if text == "start" else -1.0] for text in query.texts])
        elif isinstance(query, RandomSwaps):
            told = ()
        else:
            told = ("start",)
    assert proposed == ["start"] * 4
