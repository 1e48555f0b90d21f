"""Attribute spread on texts whose spread is known."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from miner.errors import DataError
from miner.measuring.diversity.persona import (
    ATTRIBUTES,
    attribute_of,
    attribute_spreads,
    built_in_prompts,
    chance_of_difference,
    entropy_bits,
    read_persona,
)
from miner.measuring.diversity.writings import Writings, Written

PERSON = "Name: {name}. Age: {age}. Gender: female. Nationality: Irish. Occupation: a nurse."


def people(texts_of: list[list[str]]) -> Writings:
    written = [Written(key=str(i), group=str(i), responses=tuple(texts)) for i, texts in enumerate(texts_of)]
    return Writings(label="people", written=tuple(written))


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("name", "Her name is Ann-Marie and she sings.", "ann-marie"),
        ("age", "A 34-year-old teacher", "30s"),
        ("age", "Age: 61, retired", "60s"),
        ("gender", "Gender – Male", "male"),
        ("nationality", "nationality: Kenyan", "kenyan"),
        ("occupation", "Her job is an engineer", "engineer"),
        ("name", "Somebody", None),
    ],
)
def test_attributes_are_read_off(name: str, text: str, value: str | None) -> None:
    assert attribute_of(name, ATTRIBUTES[name], text) == value


def test_the_same_person_every_time_has_no_spread() -> None:
    spreads = attribute_spreads(people([[PERSON.format(name="Ann", age=30)] * 6] * 5), ATTRIBUTES, seed=0)
    assert {one.attribute for one in spreads} == set(ATTRIBUTES)
    for one in spreads:
        assert (one.spread.value, one.entropy_bits.value, one.parsed.value) == (0, 0, 1)


def test_two_names_as_often_differ_in_the_known_share_of_draws() -> None:
    texts = [PERSON.format(name=name, age=30) for name in ("Ann", "Bob") * 4]
    (name,) = [s for s in attribute_spreads(people([texts] * 5), ATTRIBUTES, seed=0) if s.attribute == "name"]
    assert name.spread.value == pytest.approx(4 * 4 * 2 / (8 * 7))
    assert name.entropy_bits.value == pytest.approx(1 + 1 / (16 * math.log(2)))


def test_the_chance_of_a_difference_has_no_bias_from_how_many_there_are() -> None:
    values = ["a"] * 3 + ["b"] * 2 + ["c"]
    leave_one_out = [chance_of_difference(values[:i] + values[i + 1 :]) for i in range(len(values))]
    assert sum(leave_one_out) / len(values) == pytest.approx(chance_of_difference(values))
    assert entropy_bits(["a"] * 9) == 0


def test_what_no_sample_states_is_not_reported() -> None:
    assert attribute_spreads(people([["nothing here"] * 4] * 5), ATTRIBUTES, seed=0) == []


def test_a_prompt_file_may_bring_its_own_attributes(tmp_path: Path) -> None:
    path = tmp_path / "persona.jsonl"
    row = '{"prompt": "Invent pet %d", "attributes": {"pet": "\\\\b(cat|dog)\\\\b"}}\n'
    path.write_text("".join(row % i for i in range(5)))
    assert read_persona(path).attributes["pet"] == r"\b(cat|dog)\b"
    assert len(built_in_prompts().prompts) >= 5
    path.write_text('{"prompt": "x", "attributes": {"pet": "("}}\n')
    with pytest.raises(DataError, match="line 1"):
        read_persona(path)
    path.write_text('{"prompt": "x"}\n')
    with pytest.raises(DataError, match="at least 5"):
        read_persona(path)
