"""Text in scripts that have no spaces is judged by its characters, at rates that are measured."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest

from corpus.records import Message
from miner.judging.checks import Certifier, Materials, Subject, build_checks, calibrate, measure, plant
from miner.judging.checks.plants import KINDS
from miner.judging.checks.words import joined, units_of
from miner.language_models.ngram import NGramModel, train_ngram_model
from miner.language_models.training import train_tokenizer
from tests.judging.checks.languages import LANGUAGES, written


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("the cat sat", ["the", "cat", "sat"]),
        ("我用Python写 code。", ["我", "用", "Python", "写", "code。"]),
        ("カタカナ", ["カ", "タ", "カ", "ナ"]),
        ("ที่นี่ดี", ["ที่", "นี่", "ดี"]),
        ("", []),
    ],
)
def test_units_are_words_where_there_are_spaces_and_characters_where_there_are_none(
    text: str, units: list[str]
) -> None:
    assert units_of(text) == units
    assert units_of(joined(units)) == units


def test_words_are_joined_by_spaces_and_characters_by_nothing() -> None:
    assert joined(["the", "cat"]) == "the cat"
    assert joined(["我", "用", "Python", "code"]) == "我用Python code"


def trained(texts: Sequence[str], out: Path) -> NGramModel:
    train_ngram_model(texts, train_tokenizer(texts, 700), order=4, out=out)
    return NGramModel.load(out)


def calibrated(lm: NGramModel, clean: Sequence[Subject]) -> Certifier:
    materials = Materials(clean_texts=tuple(subject.response for subject in clean), reference_lm=lm)
    return calibrate(build_checks(materials, ["order", "fluency", "repetition"]), clean)


def subjects(language: str) -> tuple[list[str], list[Subject], list[Subject]]:
    """The reference LM's text, clean answers to calibrate with, and others."""
    parts, question = LANGUAGES[language]
    texts, asked = written(parts), (Message(role="user", content=question),)
    answers = [Subject(response=text, prompt=asked) for text in texts[2000:]]
    return texts[:2000], answers[:400], answers[400:]


@pytest.mark.parametrize("language", LANGUAGES)
def test_planted_nonsense_is_convicted_and_sense_is_spared(language: str, tmp_path: Path) -> None:
    lm_text, clean, others = subjects(language)
    certifier = calibrated(trained(lm_text, tmp_path), clean)
    found = measure(certifier, others, plant(others, per_kind=100))["verdict"]
    assert found.evidence.value == 1
    assert found.false_alarm.value <= 0.03
    for kind in KINDS:
        assert found.hit_rate[kind].value >= 0.95, kind


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_judge_whose_lm_does_not_know_the_language_convicts_no_sense(language: str, tmp_path: Path) -> None:
    """What it cannot convict is told before mining: see tests/campaigns/test_blind_judge.py."""
    _, clean, others = subjects(language)
    english = [
        f"{who} {did} the {what}." for who, did, what in product(("We", "They"), ("see", "hear"), ("cat", "dog"))
    ]
    certifier = calibrated(trained(english * 20, tmp_path), clean)
    found = measure(certifier, others, plant(others, per_kind=100))["verdict"]
    assert found.false_alarm.value <= 0.03
    assert found.hit_rate["shuffled_words"].value < 0.8
