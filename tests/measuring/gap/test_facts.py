"""Every swapped fact of docs world is false for the reason given, and what proves nothing is left out."""

from __future__ import annotations

import importlib
import json
import warnings
from pathlib import Path
from random import Random
from typing import Any

import pytest

from corpus.records import Message, Prompt
from miner.errors import DataError
from miner.measuring.gap.facts import KINDS, TYPES, Facts, _number, _type, docs_facts, read_facts, related
from miner.worlds.docs.harvest import DocEntry

PROMPT = Prompt(conversation=(Message(role="user", content="What does `a.b` do?"),))


@pytest.fixture(scope="module")
def facts(docs_world: Any) -> Facts:
    pairs = list(zip(docs_world.prompts("held_out"), docs_world.by_role["held_out"], strict=True))
    return docs_facts(pairs, seed=0, at_most=40)


def reaches(value: object, name: str) -> bool:
    head, _, rest = name.partition(".")
    return hasattr(value, head) and (not rest or reaches(getattr(value, head), rest))


def entry(*sentences: str) -> DocEntry:
    return DocEntry(name="a.b", module="a", kind="function", summary=sentences[0], sentences=tuple(sentences[1:]))


def test_there_are_facts_of_every_kind(facts: Facts) -> None:
    counts = {kind: sum(fact.kind == kind for fact in facts.facts) for kind in KINDS}
    assert counts["name"] > 30
    assert counts["module"] > 30
    assert counts["number"] > 5
    assert counts["type"] > 10


def test_no_swap_is_a_sentence_of_any_docstring(facts: Facts, docs_world: Any) -> None:
    known = {text for e in docs_world.entries for text in (e.summary, *e.sentences)}
    assert len(facts.facts) > 75
    assert len(known) > 1000
    for fact in facts.facts:
        assert fact.false not in known
        assert fact.false != fact.true
        assert fact.swapped in fact.false


def test_what_a_name_or_module_swap_speaks_of_does_not_exist(facts: Facts) -> None:
    swapped = [fact for fact in facts.facts if fact.kind in ("name", "module")][:40]
    assert len(swapped) == 40
    for fact in swapped:
        module, name = fact.false.removeprefix("In ").split(":")[0].split(", ")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of deprecated modules
            value: object = importlib.import_module(module)
        assert not reaches(value, name)


def test_types_that_are_swapped_are_no_relatives(facts: Facts) -> None:
    for fact in facts.facts:
        if fact.kind == "type":
            assert not related(TYPES[fact.original], TYPES[fact.swapped])
    assert related(bool, int), "a boolean is an integer: such a swap proves nothing"


@pytest.mark.parametrize(
    "sentence",
    [
        "Return at least 2-tuples of names.",  # a bound
        "Return a 2-tuple or a 3-tuple.",  # two numbers
        "Parse as RFC 2822 demands.",  # another document may say the same
        "Wait 5 seconds for it.",  # no exact slot
        "Compare two files, by default.",  # a hedge
    ],
)
def test_numbers_that_prove_nothing_are_left_out(sentence: str) -> None:
    assert _number(PROMPT, entry(sentence), sentence, Random(0)) is None


@pytest.mark.parametrize(
    "sentence", ["Return a 2-tuple of names.", "Compute the base 10 logarithm.", "Merge two lists."]
)
def test_an_exact_number_is_swapped_for_one_that_the_docstring_does_not_name(sentence: str) -> None:
    for seed in range(20):
        fact = _number(PROMPT, entry(sentence, "It takes 3 of them, or five."), sentence, Random(seed))
        assert fact is not None
        assert fact.swapped not in ("3", "five", fact.original)
        assert "a 8" not in fact.false, "the article must not give the swap away"


@pytest.mark.parametrize(
    "sentence",
    [
        "Return a list or a tuple of names.",  # an alternative
        "Returns the string representation of it.",  # no type of what is returned
        "The list of names is returned.",  # not at the head
    ],
)
def test_types_that_prove_nothing_are_left_out(sentence: str) -> None:
    assert _type(PROMPT, entry(sentence), sentence, Random(0)) is None


def test_a_type_that_the_docstring_names_elsewhere_is_not_swapped_in() -> None:
    names = "An integer, float, tuple, dictionary and boolean are taken."
    sentence = "Return a list of names."
    fact = _type(PROMPT, entry(sentence, names), sentence, Random(0))
    assert fact is not None
    assert fact.false == "Return a string of names."


def test_an_article_fits_the_type_that_is_swapped_in() -> None:
    names = "A string, float, tuple, dictionary and boolean are taken."
    sentence = "Returns a list of names."
    fact = _type(PROMPT, entry(sentence, names), sentence, Random(0))
    assert fact is not None
    assert fact.false == "Returns an integer of names."


def test_facts_of_a_file_are_taken_at_its_word(tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    row = {"prompt": "Capital of France?", "true": "Paris.", "false": "Rome.", "kind": "place", "proof": "atlas"}
    path.write_text(json.dumps(row) + "\n")
    (fact,) = read_facts(path).facts
    assert (fact.kind, fact.proof, fact.prompt.reference) == ("place", "atlas", "Paris.")
    assert (fact.original, fact.swapped) == ("Paris.", "Rome.")
    for broken in ({**row, "false": "Paris."}, {**row, "prompt": None}, {"prompt": "x"}):
        path.write_text(json.dumps(broken) + "\n")
        with pytest.raises(DataError, match="line 1") as caught:
            read_facts(path)
        assert "\n" not in str(caught.value)
