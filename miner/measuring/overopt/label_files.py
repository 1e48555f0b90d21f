"""Labelling sheets as files: JSON lines for programs, CSV for spreadsheets, told apart by suffix.

What comes back from a spreadsheet is no longer the text that went in: formulas were quoted, line breaks shown. So
answers are known by how they are shown, which is the same for the stored text, for either file, and after a round trip.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from corpus.formats import jsonl_bytes
from miner.data.rows import Row, UnusableRowError
from miner.data.sources import open_source
from miner.errors import ConfigError, DataError
from miner.safe_text import csv_cell, visible

SUFFIXES = (".csv", ".jsonl")
NEEDED = ("prompt_id", "response", "score")
SHOWN_BREAKS = frozenset("⇥␍⏎")
AnswerKey = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetRow:
    """An answer to be scored; the text is mined."""

    prompt: str
    response: str
    prompt_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One person's score of one answer, higher is better."""

    labeller: str
    answer: AnswerKey
    score: float


def answer_key(prompt_id: str, response: str) -> AnswerKey:
    """By what an answer is known in a sheet: its prompt, and its text as people see it."""
    return _seen(prompt_id), _seen(response)


def check_sheet(path: Path) -> None:
    """Raises: ConfigError: no file that a sheet could be written to; one that exists may hold hours of work."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: a labelling sheet is a {' or '.join(SUFFIXES)} file; name one of those")
    if path.exists():
        raise ConfigError(f"{path} exists already and may hold scores. Name another file, or delete it first")


def write_sheet(path: Path, rows: Sequence[SheetRow]) -> None:
    """``rows`` with an empty score each. Raises: see ``check_sheet``."""
    check_sheet(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(_csv_bytes(rows) if path.suffix.lower() == ".csv" else _jsonl_bytes(rows))


def read_label_file(path: Path) -> list[Label]:
    """The scores that people have filled in. A row without one is an answer nobody has judged.

    A column ``labeller`` says who gave a score; without one, the whole file is one person's.

    Raises:
        DataError: no such file, a column that lacks, a score that is no number (the line is named), or no score at all.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a labelling sheet (rmminer overopt --label-sheet makes one)")
    found, n_rows = [], 0
    rows = _csv_rows(path) if path.suffix.lower() == ".csv" else open_source(path, "train").rows(NEEDED)
    for row in rows:
        if isinstance(row, UnusableRowError):
            raise row
        n_rows += 1
        if lacking := [name for name in NEEDED if name not in row.values]:
            raise DataError(
                f"{row.where}: no column {lacking[0]!r} among {', '.join(map(str, row.values))}; "
                f"expected {', '.join(NEEDED)}"
            )
        score = _score(row)
        if score is not None:
            who = str(row.values.get("labeller") or "").strip() or str(path)
            answer = answer_key(_text(row, "prompt_id"), _text(row, "response"))
            found.append(Label(labeller=who, answer=answer, score=score))
    if not found:
        raise DataError(f"{path}: none of its {n_rows} rows has a score; fill in the column 'score' with numbers")
    return found


def _seen(text: str) -> str:
    """Without the quote that keeps a formula from acting: some spreadsheets drop it, some give it back."""
    shown = visible(text).strip()
    bare = shown.removeprefix("'")
    return bare.strip() if bare[:1] in SHOWN_BREAKS or csv_cell(bare) != bare else shown


def _jsonl_bytes(rows: Sequence[SheetRow]) -> bytes:
    return jsonl_bytes([{**asdict(row), "score": None} for row in rows])


def _csv_bytes(rows: Sequence[SheetRow]) -> bytes:
    """With a byte-order mark: without one, spreadsheets take UTF-8 for their own code page and garble it."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    writer.writerow(["prompt", "response", "score", "prompt_id"])
    for row in rows:
        writer.writerow([csv_cell(row.prompt), csv_cell(row.response), "", csv_cell(row.prompt_id)])
    return text.getvalue().encode("utf-8-sig")


def _csv_rows(path: Path) -> Iterator[Row]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}). Save it as CSV UTF-8") from error
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)  # spreadsheets write what their country does
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for values in reader:
            yield Row(f"{path}, line {reader.line_num}", {str(key): value for key, value in values.items()})
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not usable CSV: {error}") from error


def _text(row: Row, column: str) -> str:
    value = row.values[column]
    if not isinstance(value, str):
        raise DataError(f"{row.where}: {column} is {value!r}; expected the text as the sheet gave it")
    return value


def _score(row: Row) -> float | None:
    value: Any = row.values["score"]
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        score = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        score = math.nan
    if not math.isfinite(score):
        raise DataError(f"{row.where}: score {value!r} is no number; expected one such as 4 or 0.5, or nothing")
    return score
