"""A form is read off the text and its certificate, whichever attack made it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.metadata import EntryPoint, EntryPoints
from typing import ClassVar

import numpy as np
import pytest

from corpus.records import Answer, Form, Message, Verdict
from miner.judging.checks.base import Aspect, Check, Floats, Materials, Subject
from miner.judging.forms import form_of

PROMPT = (Message(role="user", content="What does `shutil.copytree` do with a folder of links?"),)
SALAD = "blogs link thank video mathematics servant nino kindly tutor"
SENSE = "Return the file descriptor a dictionary of the given encoding."


def verdict(check: str, answer: Answer) -> Verdict:
    return Verdict(check=check, verdict=answer, value=math.nan, threshold=0.0, calibration_id="x")


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("The the the the the", "repetition"),
        ("to or to or to. or to or to", "repetition"),
        (SALAD, "salad"),
        ("# ** {} [[]] -- | | 1) 2) ;;", "structural"),
        ("What does shutil copytree do with a folder of links", "structural"),
        ("What does shutil copytree do? What does shutil copytree do? What does shutil copytree do?", "structural"),
        ("do with a folder of links — what does shutil.copytree", "structural"),
    ],
)
def test_the_text_alone_gives_its_form(text: str, form: Form) -> None:
    assert form_of(text, PROMPT, ()) == form


@pytest.mark.parametrize(
    ("fluency", "order", "form"),
    [
        ("sensible", "sensible", "fluent"),
        ("sensible", "abstain", "fluent"),
        ("sensible", "nonsense", "salad"),
        ("nonsense", "sensible", "salad"),
        ("abstain", "abstain", "salad"),
    ],
)
def test_fluent_is_what_the_reference_lm_finds_fluent(fluency: Answer, order: Answer, form: Form) -> None:
    assert form_of(SENSE, PROMPT, (verdict("fluency", fluency), verdict("order", order))) == form


def test_a_repetition_check_that_convicts_settles_it() -> None:
    assert form_of("thethethethethe", PROMPT, (verdict("repetition", "nonsense"),)) == "repetition"


def test_a_salad_with_a_few_words_of_the_prompt_stays_salad() -> None:
    assert form_of(f"{SALAD} do with a folder", PROMPT, ()) == "salad"


def test_the_empty_text_has_a_form() -> None:
    assert form_of("", (), ()) == "salad"


class TheirFluency(Check):
    """A check of another package that says how likely a text's words are."""

    name = "their fluency"
    speaks_of: ClassVar[Aspect | None] = "fluency"
    identity = "theirs"

    @classmethod
    def of(cls, _materials: Materials) -> TheirFluency:
        return cls()

    def values(self, subjects: Sequence[Subject]) -> Floats:
        return np.zeros(len(subjects))


def test_a_check_of_another_package_says_what_it_speaks_of(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = EntryPoints([EntryPoint("their fluency", f"{__name__}:TheirFluency.of", "rmminer.checks")])
    monkeypatch.setattr("miner.judging.checks.registry.entry_points", lambda group: entries.select(group=group))
    assert form_of(SENSE, PROMPT, (verdict("their fluency", "sensible"),)) == "fluent"
    assert form_of(SENSE, PROMPT, (verdict("their fluency", "sensible"), verdict("fluency", "nonsense"))) == "salad"
    assert form_of(SENSE, PROMPT, (verdict("nobody's", "sensible"),)) == "salad"
