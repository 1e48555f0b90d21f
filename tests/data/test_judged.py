"""One answer a row with a judgement beside it: whatever the judgement is called, a bad answer is no good one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from miner.data import ColumnMapping, read_preferences
from miner.errors import DataError
from tests.data.judgements import JUDGEMENTS
from tests.data.named_layouts import ANSWER, BAD, GOOD, GPT, GPT_WRONG, HUMAN, USER, WRONG, Q, facts, written


@pytest.mark.parametrize(
    ("prompt", "answer"), [("prompt", "completion"), ("instruction", "output"), ("input", "answer")]
)
@pytest.mark.parametrize(("name", "good", "bad"), JUDGEMENTS)
def test_the_judgement_decides_whatever_it_is_called(
    name: str, good: Any, bad: Any, prompt: str, answer: str, tmp_path: Path
) -> None:
    rows = [{prompt: Q, answer: BAD, name: bad}, {prompt: Q, answer: GOOD, name: good}]
    read = read_preferences(written(tmp_path / "a.jsonl", rows))
    assert facts(read.prompts) == [([("user", Q)], GOOD, (BAD,))]
    assert f'"{name}"' in read.report.columns


@pytest.mark.parametrize("turns", [([USER, ANSWER], [USER, WRONG]), ([HUMAN, GPT], [HUMAN, GPT_WRONG])])
@pytest.mark.parametrize("column", ["messages", "conversations", "conversation"])
def test_whole_conversations_are_judged_alike(turns: tuple[list[Any], list[Any]], column: str, tmp_path: Path) -> None:
    for name, good, bad in (("score", 4, 1), ("label", 1, -1)):
        rows = [{column: turns[1], name: bad}, {column: turns[0], name: good}]
        assert facts(read_preferences(written(tmp_path / "a.jsonl", rows)).prompts) == [([("user", Q)], GOOD, (BAD,))]


@pytest.mark.parametrize("judgements", [("A+", "F"), ("label", 2)])
def test_a_judgement_that_is_not_understood_is_no_good_answer(judgements: tuple[Any, Any], tmp_path: Path) -> None:
    rows = [{"prompt": Q, "response": text, "grade": one} for text, one in zip((GOOD, BAD), judgements, strict=True)]
    with pytest.raises(DataError, match=r"'grade' may say how good the answers in 'response' are.*label_values"):
        read_preferences(written(tmp_path / "a.jsonl", rows))


def test_two_judgements_are_asked_about_and_what_the_message_says_helps(tmp_path: Path) -> None:
    rows = [{"prompt": Q, "response": text, "style_score": 1, "truth_score": n} for n, text in enumerate((BAD, GOOD))]
    path = written(tmp_path / "a.jsonl", rows)
    with pytest.raises(DataError, match="'style_score' and 'truth_score' may say"):
        read_preferences(path)
    mapping = ColumnMapping(prompt="prompt", completion="response", score="truth_score")
    assert facts(read_preferences(path, columns=mapping).prompts) == [([("user", Q)], GOOD, (BAD,))]
    good = ColumnMapping(prompt="prompt", chosen="response")
    assert read_preferences(path, columns=good).report.spare == 1


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("chosen_model", ("gpt-4", "gpt-5")), ("reward_model", ("x/y",)), ("label_language", ("en",)),
        ("correct_answer", ("17", "4")), ("feedback", ("",)), ("score_version", (1, 2, 3)),
    ],
)  # fmt: skip
def test_a_column_that_only_sounds_like_one_judges_nothing(name: str, values: tuple[Any, ...], tmp_path: Path) -> None:
    rows = [{"prompt": f"{Q} {n}", "response": GOOD, name: values[n % len(values)]} for n in range(6)]
    read = read_preferences(written(tmp_path / "a.jsonl", rows))
    assert read.report.read_as == "prompts with a good answer"
    assert all(prompt.reference == GOOD for prompt in read.prompts)


@pytest.mark.parametrize("name", ["label", "grade"])
def test_numbers_that_may_be_those_of_kinds_are_asked_about(name: str, tmp_path: Path) -> None:
    rows = [{"prompt": f"{Q} {n}", "response": GOOD, name: n} for n in range(5)]
    with pytest.raises(DataError, match=f"'{name}' may say how good"):
        read_preferences(written(tmp_path / "a.jsonl", rows))


def test_names_of_kinds_are_no_judgement(tmp_path: Path) -> None:
    rows = [{"prompt": f"{Q} {kind}", "response": GOOD, "label": kind} for kind in ("math", "code", "chat", "law")]
    read = read_preferences(written(tmp_path / "a.jsonl", rows))
    assert (read.report.read_as, read.report.unread) == ("prompts with a good answer", ("label",))


def test_a_score_that_nothing_compares_with_makes_no_good_answer(tmp_path: Path) -> None:
    rows = [{"prompt": f"{Q} {n}", "response": GOOD, "score": n} for n in range(3)]
    rows += [{"prompt": f"{Q} 0", "response": BAD, "score": -1}]
    read = read_preferences(written(tmp_path / "a.jsonl", rows))
    assert [(p.reference, p.rejected) for p in read.prompts] == [(GOOD, (BAD,)), (None, ()), (None, ())]
    assert read.report.uncompared == 2
    assert any("2 answers have a score, but none beside them" in note for note in read.report.notes())


def test_of_two_ranked_outputs_the_second_is_the_worse(tmp_path: Path) -> None:
    row = {"instruction": "Answer.", "input": Q, "output": [GOOD, BAD]}
    read = read_preferences(written(tmp_path / "a.jsonl", [row]))
    assert facts(read.prompts) == [([("user", f"Answer.\n{Q}")], GOOD, (BAD,))]
    with pytest.raises(DataError, match="Say what is in them"):
        read_preferences(written(tmp_path / "b.jsonl", [{**row, "output": [GOOD, BAD, "third"]}]))
