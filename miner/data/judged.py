"""One answer a row, and a column that says how good it is: told by the column's name and by what stands in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from miner.data.cells import as_number, value_at
from miner.data.columns import ColumnMapping, LabelValue, canonical
from miner.data.layouts import ALPACA, ANSWERS, PROMPTS, SYSTEM, WHOLE, Examples, Layout, demonstrates
from miner.errors import DataError

LABELS = ("label", "labels", "kto_tag", "is_chosen", "chosen", "is_preferred", "desirable", "is_good", "preference")
SCORES = ("score", "overall_score", "rating", "overall_rating", "reward", "quality")
LABELLING = frozenset({
    "label", "labels", "kto", "tag", "chosen", "preferred", "preference", "desirable", "good", "correct", "grade",
    "feedback", "vote", "thumbs", "verdict", "judgement", "judgment", "helpful", "accepted", "liked",
})  # fmt: skip
SCORING = frozenset({
    "score", "scores", "rating", "ratings", "rated", "reward", "rewards", "quality", "stars", "helpfulness", "votes",
    "upvotes",
})  # fmt: skip
"""The last words of names under which a column may judge; numbers under the former may be those of kinds."""
CATEGORIES = 3  # so many different texts that are no judgement name kinds of something
OPPOSITES = (
    ("true", "false"), ("1", "0"), ("1", "-1"), ("yes", "no"), ("good", "bad"), ("desirable", "undesirable"),
    ("chosen", "rejected"), ("preferred", "dispreferred"), ("accepted", "rejected"), ("accept", "reject"),
    ("positive", "negative"), ("correct", "incorrect"), ("right", "wrong"), ("up", "down"), ("upvote", "downvote"),
    ("thumbs_up", "thumbs_down"), ("like", "dislike"), ("liked", "disliked"), ("better", "worse"), ("win", "loss"),
    ("helpful", "unhelpful"), ("helpful", "harmful"), ("harmless", "harmful"), ("safe", "unsafe"), ("pass", "fail"),
)  # fmt: skip

UNDERSTOOD = OPPOSITES[:2]  # by a mapping without label_values


def judged_answers(examples: Examples, where: str) -> Layout | None:
    """The layout of rows with one answer each and a judgement beside it; None where there is no such column.

    Raises:
        DataError: a column is called like a judgement and says none that is known, or several do.
    """
    answers = _answers(examples)
    if answers is None:
        return None
    names = dict.fromkeys(name for values in examples for name in values if name not in answers.values())
    found = {
        name: values
        for name in names
        if _last_word(name) in LABELLING | SCORING and (values := _values(examples, name))
    }
    read = {name: layout for name, values in found.items() if (layout := _read_by(answers, name, values))}
    for name in (*LABELS, *SCORES):
        if name in read:
            return read[name]
    if len(read) == 1 and len(found) == 1:
        return next(iter(read.values()))
    if found:
        raise DataError(
            f"{where}: {' and '.join(map(repr, found))} may say how good the answers in {answers['completion']!r} are. "
            f"Say what counts: {_how_to_map(answers)}"
        )
    return None


def _answers(examples: Examples) -> dict[str, str] | None:
    """Field of a mapping and column of the prompt, what belongs to it, and the answer."""

    def has(path: str) -> bool:
        return any(value_at(values, path) is not None for values in examples)

    for prompt in PROMPTS:
        for answer in ANSWERS:
            if has(prompt) and has(answer):
                beside = ALPACA if prompt == "instruction" else SYSTEM
                there = {field: column for field, column in reversed(beside) if has(column)}
                return {"prompt": prompt, **there, "completion": answer}
    turns = next((name for name in WHOLE if has(name) and demonstrates(name)(examples)), None)
    return {"completion": turns} if turns else None


def _last_word(name: str) -> str:
    words = re.split(r"[\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().rstrip("_"))
    return words[-1]


def _values(examples: Examples, name: str) -> list[Any]:
    """What a column says, but for nulls; empty where it is no judgement: structures, or names of many kinds."""
    values = [value for value in (value_at(row, name) for row in examples) if value not in (None, "")]
    if not all(isinstance(value, (bool, int, float, str)) for value in values):
        return []
    texts = {canonical(value).casefold() for value in values if as_number(value) is None}
    known = {text for pair in OPPOSITES for text in pair}
    return [] if len(texts - known) >= CATEGORIES else values


def _read_by(answers: Mapping[str, Any], name: str, values: Sequence[Any]) -> Layout | None:
    said = {canonical(value).casefold() for value in values}
    called = "KTO" if name in ("label", "kto_tag") else "labelled answers"
    for opposites in OPPOSITES:
        if said <= set(opposites):
            meaning: tuple[LabelValue, ...] = () if opposites in UNDERSTOOD else opposites
            return Layout(name=called, mapping=ColumnMapping(**answers, label=name, label_values=meaning))
    if _last_word(name) in SCORING and all(as_number(value) is not None for value in values):
        return Layout(name="rated answers", mapping=ColumnMapping(**answers, score=name))
    return None


def _how_to_map(answers: Mapping[str, Any]) -> str:
    asked = {field: column for field, column in answers.items() if field != "completion"}
    good = ColumnMapping(**asked, chosen=answers["completion"])
    judged = ColumnMapping(**answers, label="…", label_values=("good", "bad"))
    return f"--set 'data.columns={judged}' (or score=…), or, where all are good, --set 'data.columns={good}'"
