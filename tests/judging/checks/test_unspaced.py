"""Text in scripts that have no spaces is judged by its characters, at rates that are measured."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from random import Random

import pytest

from corpus.records import Message
from miner.judging.checks import Judge, Materials, Subject, build_checks, calibrate, measure, plant
from miner.judging.checks.plants import KINDS
from miner.judging.checks.words import joined, units_of
from miner.language_models.ngram import NGramModel, train_ngram_model
from miner.language_models.training import train_tokenizer

Parts = tuple[tuple[str, ...], ...]
CHINESE: Parts = (
    ("老师", "医生", "我的朋友", "那个孩子", "图书馆的管理员", "年轻的画家", "邻居", "售票员"),
    ("昨天晚上", "每天早上", "下个星期", "吃完饭以后", "在下雨的时候", "放假之前"),
    ("，",),
    ("打开了", "仔细地擦干净", "忘记带走", "小心地修理", "借给别人", "画下来"),
    ("自行车", "那本旧书", "窗户", "厨房里的水壶", "妈妈的雨伞", "桌子上的照片"),
    ("，",),
    ("然后高兴地回家了。", "最后把门关好。", "所以大家都很放心。", "第二天又检查了一遍。"),
)
JAPANESE: Parts = (
    ("先生は", "医者は", "私の友だちは", "あの子どもは", "図書館の職員は", "若い画家は", "隣の人は", "駅員は"),
    ("昨日の夜", "毎朝", "来週", "食事のあとで", "雨が降っているときに", "休みの前に"),
    ("、",),
    ("自転車を", "その古い本を", "窓を", "台所のやかんを", "お母さんの傘を", "机の上の写真を"),
    ("開けて", "丁寧に拭いて", "持ち帰るのを忘れて", "気をつけて修理して", "人に貸して", "絵に描いて"),
    ("、",),
    (
        "うれしそうに家へ帰りました。",
        "最後にドアを閉めました。",
        "みんな安心しました。",
        "次の日もう一度確かめました。",
    ),
)
THAI: Parts = (
    ("เมื่อคืนนี้", "ทุกเช้า", "สัปดาห์หน้า", "หลังจากกินข้าวเสร็จ", "ตอนที่ฝนตก", "ก่อนวันหยุด"),
    ("คุณครู", "คุณหมอ", "เพื่อนของฉัน", "เด็กคนนั้น", "บรรณารักษ์", "จิตรกรหนุ่ม", "เพื่อนบ้าน", "คนขายตั๋ว"),
    ("เปิด", "เช็ด", "ลืม", "ซ่อม", "ให้ยืม", "วาดรูป"),
    ("จักรยาน", "หนังสือเก่าเล่มนั้น", "หน้าต่าง", "กาต้มน้ำในครัว", "ร่มของแม่", "รูปถ่ายบนโต๊ะ"),
    (" ",),
    ("แล้วกลับบ้านอย่างมีความสุข", "สุดท้ายก็ปิดประตูให้เรียบร้อย", "ทุกคนจึงสบายใจมาก", "วันรุ่งขึ้นก็ตรวจดูอีกครั้ง"),
)
LANGUAGES = {"Chinese": (CHINESE, "怎么了？"), "Japanese": (JAPANESE, "どうしましたか。"), "Thai": (THAI, "เกิดอะไรขึ้น")}


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


def written(parts: Parts, n: int = 2700) -> list[str]:
    """Sentences of the parts, each only once."""
    texts = ["".join(chosen) for chosen in product(*parts)]
    Random(0).shuffle(texts)
    return texts[:n]


def trained(texts: Sequence[str], out: Path) -> NGramModel:
    train_ngram_model(texts, train_tokenizer(texts, 700), order=4, out=out)
    return NGramModel.load(out)


def calibrated(lm: NGramModel, clean: Sequence[Subject]) -> Judge:
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
    judge = calibrated(trained(lm_text, tmp_path), clean)
    found = measure(judge, others, plant(others, per_kind=100))["verdict"]
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
    judge = calibrated(trained(english * 20, tmp_path), clean)
    found = measure(judge, others, plant(others, per_kind=100))["verdict"]
    assert found.false_alarm.value <= 0.03
    assert found.hit_rate["shuffled_words"].value < 0.8
