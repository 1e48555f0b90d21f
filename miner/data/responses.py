"""The responses of one row, better and worse, by whichever way the columns tell them apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from corpus.records import Message
from miner.data.cells import ABSENT, as_number, is_texts, is_turns, lookup, text_of, unrolled, value_at
from miner.data.columns import GOOD_AND_BAD, ColumnMapping, canonical, nearest
from miner.data.messages import Cell, read_cell, shown, valid_text
from miner.data.rows import Reason, Row, UnusableRowError

MISSPELT_FROM = 0.85


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How rows are read. ``calls_as_text`` shows tool calls instead of refusing them; ``keep_json_text`` takes JSON
    text for the text itself."""

    mapping: ColumnMapping
    calls_as_text: bool = False
    keep_json_text: bool = False

    @cached_property
    def pair(self) -> tuple[str, str, str] | None:
        """The columns of prompt, better and worse response, where nothing else is mapped (but a group)."""
        one = self.mapping
        if not (one.prompt and one.chosen and one.rejected):
            return None
        alone = ColumnMapping(prompt=one.prompt, chosen=one.chosen, rejected=one.rejected, group=one.group)
        return (one.prompt, one.chosen, one.rejected) if one == alone else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Responses:
    """``chosen`` is better than each of ``rejected``; ``n_spare`` more are good, too, or not judged.

    ``score`` is that of ``chosen`` where it is compared with those of other rows.
    """

    chosen: Cell | None
    rejected: tuple[Cell, ...] = ()
    n_spare: int = 0
    score: float | None = None

    @property
    def all(self) -> tuple[Cell, ...]:
        return self.rejected if self.chosen is None else (self.chosen, *self.rejected)


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of one row."""

    row: Row
    reading: Reading

    def where(self, column: str) -> str:
        return f"{self.row.where}, column {column!r}"

    def value(self, column: str) -> Any:
        """The value of a mapped column; None where the row has none.

        Raises:
            UnusableRowError: the row has a misspelt one instead.
        """
        value = lookup(self.row.values, column)
        if value is ABSENT:
            others = tuple(name for name in self.row.values if name not in self.reading.mapping.used)
            if _near(column, others):
                hint = f"no column {column!r}{nearest(column, others)}"
                raise UnusableRowError(Reason.MISSPELT, self.row.where, hint)
            return None
        return value

    def read(self, value: Any, column: str) -> Cell:
        calls, json_text = self.reading.calls_as_text, self.reading.keep_json_text
        return read_cell(value, self.where(column), calls_as_text=calls, keep_json_text=json_text)

    def each(self, column: str | None) -> list[Cell]:
        """The responses in a column: none, one, or a list of them."""
        value = unrolled(self.value(column)) if column else None
        if value is None or column is None:
            return []
        if isinstance(value, list) and not is_turns(value):
            items = [item for item in value if item is not None]
            if all(isinstance(item, (str, list)) or text_of(item) is not None for item in items):
                return [self.read(plain(item), column) for item in items]
        return [self.read(plain(value), column)]

    def one(self, column: str, asked: Any) -> Cell:
        """The response in a column of its own; a list of texts answers the list of texts that was ``asked``."""
        value = unrolled(self.value(column))
        if is_texts(value) and isinstance(value, list):
            if len(value) == 1:
                return self.read(value[0], column)
            if is_texts(asked) and len(asked) == len(value):
                return interleaved(asked, value, self.where(column))
            raise UnusableRowError(Reason.ORDER, self.where(column), f"{len(value)} answers to another number of turns")
        return self.read(plain(value), column)


def read_responses(cells: Cells, asked: Any) -> Responses:
    """The responses of a row whose prompt column holds ``asked``.

    Raises:
        UnusableRowError: a tie, a label without meaning, a cell of the wrong type.
    """
    mapping = cells.reading.mapping
    if mapping.completion:
        return _completion(cells, mapping.completion)
    if mapping.answers:
        return _best_of(cells, mapping.answers)
    if mapping.responses:
        return _labelled(cells, asked) if mapping.label else _scored(cells, asked)
    chosen = cells.each(mapping.chosen)
    rejected = tuple(cells.each(mapping.rejected))
    return Responses(chosen=chosen[0] if chosen else None, rejected=rejected, n_spare=max(0, len(chosen) - 1))


def interleaved(asked: Sequence[str | None], answered: Sequence[str | None], where: str) -> tuple[Message, ...]:
    turns = zip(asked, answered, strict=True)
    said = [(role, text) for pair in turns for role, text in zip(("user", "assistant"), pair, strict=True)]
    if any(text is None for _, text in said):
        raise UnusableRowError(Reason.NO_TEXT, where, "expected text in every turn; got null")
    return tuple(Message(role=role, content=valid_text(str(text), where)) for role, text in said)


def plain(item: Any) -> Any:
    """The text or turns in a struct that is no message; anything else as it is."""
    found = text_of(item)
    return item if found is None else found


@lru_cache(maxsize=256)
def _near(name: str, others: tuple[str, ...]) -> bool:
    from difflib import get_close_matches

    return bool(get_close_matches(name, others, n=1, cutoff=MISSPELT_FROM))


def _labelled(cells: Cells, asked: Any) -> Responses:
    mapping = cells.reading.mapping
    column = mapping.label or ""
    label = cells.value(column)
    if label is None or canonical(label) in map(canonical, mapping.tie_labels):
        raise UnusableRowError(Reason.TIE, cells.where(column), f"a tie: {shown(label)}")
    better = _signed(cells, label) if mapping.signed else mapping.label_meanings.get(_matched(label, mapping))
    if better is None:
        known = ", ".join(f"{value} ({name!r})" for value, name in mapping.label_meanings.items())
        raise UnusableRowError(Reason.LABEL, cells.where(column), f"expected one of {known}; got {shown(label)}")
    worse = (name for name in mapping.responses if name != better)
    return Responses(chosen=cells.one(better, asked), rejected=tuple(cells.one(name, asked) for name in worse))


def _matched(label: Any, mapping: ColumnMapping) -> str:
    """The label in canonical form; where true and false are the labels, 1 and 0 stand for them."""
    text = canonical(label)
    truths = {"1": "true", "0": "false"}
    return truths.get(text, text) if {"true", "false"} == set(mapping.label_meanings) else text


def _signed(cells: Cells, label: Any) -> str | None:
    mapping = cells.reading.mapping
    strength = as_number(label)
    if strength is None or mapping.signed is None:
        return None
    if strength == 0:
        raise UnusableRowError(Reason.TIE, cells.where(mapping.label or ""), "a tie: strength 0")
    below, above = mapping.signed
    return below if strength < 0 else above


def _scored(cells: Cells, asked: Any) -> Responses:
    mapping = cells.reading.mapping
    found = [_score(cells, cells.value(name), name) for name in mapping.scores]
    best, worse, n_spare = _ordered(found, cells.where(mapping.scores[0]))
    names = mapping.responses
    return Responses(
        chosen=cells.one(names[best], asked),
        rejected=tuple(cells.one(names[index], asked) for index in worse),
        n_spare=n_spare,
    )


def _best_of(cells: Cells, column: str) -> Responses:
    mapping = cells.reading.mapping
    value = unrolled(cells.value(column))
    if value is None:
        return Responses(chosen=None)
    if not isinstance(value, list):
        raise UnusableRowError(Reason.CELL, cells.where(column), f"expected a list of answers; got {shown(value)}")
    texts = [value_at(item, mapping.answer_text) if mapping.answer_text else plain(item) for item in value]
    there = [index for index, text in enumerate(texts) if text is not None]
    if len(there) <= 1:
        return Responses(chosen=cells.read(texts[there[0]], column) if there else None)
    best, worse, n_spare = _ordered(_ratings(cells, column, value, there), cells.where(column))
    return Responses(
        chosen=cells.read(texts[there[best]], column),
        rejected=tuple(cells.read(texts[there[index]], column) for index in worse),
        n_spare=n_spare,
    )


def _ratings(cells: Cells, column: str, items: list[Any], there: Sequence[int]) -> list[float | None]:
    """How good each answer is, larger is better: by its own score or rank, a list beside them, or the best's index."""
    mapping = cells.reading.mapping
    if mapping.label:
        best = as_number(cells.value(mapping.label))
        if best is None or int(best) not in there:
            raise UnusableRowError(Reason.LABEL, cells.where(mapping.label), "it is not the index of an answer")
        return [float(index == int(best)) for index in there]
    key = mapping.score or mapping.rank
    if key is None:
        raise UnusableRowError(Reason.LABEL, cells.where(column), "several answers without a score, rank or label")
    ratings = value_at(cells.row.values, key)
    found = [
        value_at(items[index], key)
        if isinstance(items[index], Mapping)
        else ratings[index] if isinstance(ratings, list) and index < len(ratings) else None
        for index in there
    ]  # fmt: skip
    sign = 1 if mapping.score else -1
    scores = [_score(cells, value, column) for value in found]
    return [None if score is None else sign * score for score in scores]


def _ordered(scores: Sequence[float | None], where: str) -> tuple[int, list[int], int]:
    """(the best, those strictly worse from better to worse, how many are neither)."""
    rated = [(score, -index) for index, score in enumerate(scores) if score is not None]
    if not rated:
        raise UnusableRowError(Reason.TIE, where, "no response has a score")
    top, best = max(rated)
    worse = [-index for score, index in sorted(rated, reverse=True) if score < top]
    if not worse:
        raise UnusableRowError(Reason.TIE, where, "no response scores below another")
    return -best, worse, len(scores) - 1 - len(worse)


def _completion(cells: Cells, column: str) -> Responses:
    mapping = cells.reading.mapping
    [text, *_] = cells.each(column) or [cells.read(None, column)]
    if mapping.score:
        score = _score(cells, cells.value(mapping.score), mapping.score)
        if score is None:
            raise UnusableRowError(Reason.TIE, cells.where(mapping.score), "the response has no score")
        return Responses(chosen=text, score=score)
    name = mapping.label or ""
    label = cells.value(name)
    if label is None:
        raise UnusableRowError(Reason.TIE, cells.where(name), "the response has no label")
    good, bad = (canonical(value).casefold() for value in mapping.label_values or GOOD_AND_BAD)
    said = canonical(label).casefold()
    if {good, bad} == {"true", "false"}:
        said = {"1": "true", "0": "false"}.get(said, said)
    if said not in (good, bad):
        raise UnusableRowError(Reason.LABEL, cells.where(name), f"expected {good} or {bad}; got {shown(label)}")
    return Responses(chosen=text) if said == good else Responses(chosen=None, rejected=(text,))


def _score(cells: Cells, value: Any, column: str) -> float | None:
    if value is None:
        return None
    number = as_number(value)
    if number is None:
        raise UnusableRowError(Reason.LABEL, cells.where(column), f"expected a number as score; got {shown(value)}")
    return None if math.isnan(number) else number
