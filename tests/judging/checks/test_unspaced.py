"""Text in scripts that have no spaces is judged by its characters, at rates that are measured."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from random import Random

import pytest

from corpus.records import Message
from miner.judging.checks import Materials, Subject, build_checks, calibrate, measure, plant
from miner.judging.checks.words import joined, units_of
from miner.language_models.ngram import NGramModel, train_ngram_model
from miner.language_models.training import train_tokenizer

WHO = ("老师", "医生", "我的朋友", "那个孩子", "图书馆的管理员", "年轻的画家", "邻居", "售票员")
WHEN = ("昨天晚上", "每天早上", "下个星期", "吃完饭以后", "在下雨的时候", "放假之前")
DID = ("打开了", "仔细地擦干净", "忘记带走", "小心地修理", "借给别人", "画下来")
WHAT = ("自行车", "那本旧书", "窗户", "厨房里的水壶", "妈妈的雨伞", "桌子上的照片")
THEN = ("然后高兴地回家了。", "最后把门关好。", "所以大家都很放心。", "第二天又检查了一遍。")


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


def test_planted_chinese_is_convicted_and_sense_is_spared(tmp_path: Path) -> None:
    texts = [
        "，".join((who + when, did + what, then)) for who, when, did, what, then in product(WHO, WHEN, DID, WHAT, THEN)
    ]
    Random(0).shuffle(texts)
    lm_text, clean, held_out = texts[:2000], texts[2000:2400], texts[2400:2700]
    train_ngram_model(lm_text, train_tokenizer(lm_text, 700), order=4, out=tmp_path)
    asked = (Message(role="user", content="怎么了？"),)
    subjects, others = ([Subject(response=text, prompt=asked) for text in part] for part in (clean, held_out))
    materials = Materials(clean_texts=tuple(clean), reference_lm=NGramModel.load(tmp_path))
    judge = calibrate(build_checks(materials, ["order", "fluency"]), subjects)
    found = measure(judge, others, plant(others, per_kind=100))["verdict"]
    assert found.evidence.value == 1
    assert found.false_alarm.value <= 0.03
    for kind in ("random_words", "shuffled_words"):
        assert found.hit_rate[kind].value >= 0.95
