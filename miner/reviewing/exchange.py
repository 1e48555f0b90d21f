"""Items for other tools, and their verdicts taken in: CSV, Argilla's records, Label Studio's tasks.

What leaves is as blind as the page: prompt and text, controls among findings, nothing that tells them apart. What comes
in is matched by item; all of a file is taken or, where one line cannot be, nothing.

* CSV: ``item_id, prompt, response, reviewer, verdict, score, seconds, comment``; verdicts that are there are filled in.
  Gold is any number, given as the score or as the verdict.
* Argilla, ``.jsonl``: ``{"id", "fields": {"prompt", "response"}, "responses": {"verdict": [{"value", "user_id"}]}}``.
* Label Studio, ``.json``: ``[{"data": {"item_id", "prompt", "response"}, "annotations": [{"completed_by",
  "lead_time", "result": [{"from_name": "verdict", "value": {"choices": [...]}}]}]}]``.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from corpus.formats import csv_text
from corpus.records import Review, digest
from miner.errors import ConfigError, DataError
from miner.files import replace_text
from miner.judging.reviews import standing
from miner.reviewing.desk import VERDICTS, Desk
from miner.reviewing.items import ReviewItem, reviewers_order
from miner.reviewing.room import ReviewRoom

COLUMNS = ("item_id", "prompt", "response", "reviewer", "verdict", "score", "seconds", "comment")
KINDS = (".csv", ".jsonl", ".json")
MAX_CELL = 2**31 - 1  # characters; as much as every machine's C long takes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """A verdict as a file gives it; ``where`` is its place there."""

    where: str
    item_id: str
    reviewer: str
    verdict: str
    seconds: float = 0.0
    comment: str = ""


def write_items(room: ReviewRoom, mode: str, path: Path) -> int:
    """Write what is to be judged, with the standing verdicts; say how many items.

    Raises:
        ConfigError: a mode or a kind of file that is not written.
    """
    desk = _desk(room, mode, path)
    items = list(reviewers_order(desk.items, "", room.plan.seed))
    said: dict[str, list[Review]] = {}
    for one in standing(room.journal.all(), desk.mode):
        said.setdefault(one.item_id, []).append(one)
    writers: dict[str, Callable[[Sequence[ReviewItem], dict[str, list[Review]]], str]] = {
        ".csv": _csv,
        ".jsonl": _argilla,
        ".json": _label_studio,
    }
    replace_text(path, writers[path.suffix](items, said))
    return len(items)


def _csv(items: Sequence[ReviewItem], said: dict[str, list[Review]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for item in items:
        for one in said.get(item.item_id, [None]):
            judged = (
                (one.reviewer, one.verdict, "" if one.score is None else one.score, one.seconds, one.comment)
                if one
                else ("", "", "", "", "")
            )
            cells = (item.item_id, _prompt(item), item.texts[0], *judged)
            writer.writerow([csv_text(cell) if isinstance(cell, str) else cell for cell in cells])
    return text.getvalue()


def _argilla(items: Sequence[ReviewItem], said: dict[str, list[Review]]) -> str:
    rows = (
        {
            "id": item.item_id,
            "fields": {"prompt": _prompt(item), "response": item.texts[0]},
            "responses": {
                "verdict": [
                    {"value": one.verdict, "user_id": one.reviewer} for one in said.get(item.item_id, [])
                ]
            },
        }
        for item in items
    )  # fmt: skip
    return "".join(json.dumps(row) + "\n" for row in rows)


def _label_studio(items: Sequence[ReviewItem], said: dict[str, list[Review]]) -> str:
    tasks = [
        {
            "data": {"item_id": item.item_id, "prompt": _prompt(item), "response": item.texts[0]},
            "annotations": [
                {
                    "completed_by": one.reviewer,
                    "lead_time": one.seconds,
                    "result": [
                        {
                            "from_name": "verdict",
                            "to_name": "response",
                            "type": "choices",
                            "value": {"choices": [one.verdict]},
                        }
                    ],
                }
                for one in said.get(item.item_id, [])
            ],
        }
        for item in items
    ]
    return json.dumps(tasks, indent=1) + "\n"


def _prompt(item: ReviewItem) -> str:
    return "\n\n".join(f"{turn.role}: {turn.content}" for turn in item.prompt)


def read_verdicts(room: ReviewRoom, mode: str, path: Path) -> int:
    """Take the verdicts of a file into the corpus; say how many were new.

    Raises:
        ConfigError: a mode or a kind of file that is not read.
        DataError: the file is not as expected, or names an unknown item or verdict; nothing was taken.
    """
    desk = _desk(room, mode, path)
    read = {".csv": _from_csv, ".jsonl": _from_argilla, ".json": _from_label_studio}[path.suffix]
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}. Expected text in UTF-8") from error
    try:
        given = list(read(path, text))
    except (ValueError, TypeError, KeyError, AttributeError, csv.Error) as error:
        raise DataError(f"{path} is not what review --to writes: {type(error).__name__}: {error}") from error
    said = {(one.reviewer, one.item_id): one for one in standing(room.journal.all(), desk.mode)}
    items = {item.item_id: item for item in reviewers_order(desk.items, "", room.plan.seed)}
    fresh: dict[str, Review] = {}
    for one in given:
        before = said.get((one.reviewer, one.item_id))
        if before is None or before.verdict != one.verdict:
            review = _review(desk, one, items.get(one.item_id), before.review_id if before else "")
            fresh[review.review_id] = said[one.reviewer, one.item_id] = review
    if fresh:
        room.corpus.append(*fresh.values())
        room.journal.refresh()
    return len(fresh)


def _review(desk: Desk, one: _Given, item: ReviewItem | None, replaced: str) -> Review:
    """The review of a verdict that takes the place of the one of that id, if any."""
    if item is None:
        raise DataError(f"{one.where}: no item {one.item_id[:40]!r} among those asked about; is it another run's?")
    score = _number(one.verdict) if desk.mode == "gold" else None
    if score is None and one.verdict not in (told := {*desk.verdicts.values()}):
        raise DataError(f"{one.where}: no verdict {one.verdict[:40]!r}; expected one of: {', '.join(sorted(told))}")
    if not one.reviewer:
        raise DataError(f"{one.where}: a verdict without a reviewer; name who gave it")
    return Review(
        review_id=digest(["imported", one.reviewer, desk.mode, one.item_id, one.verdict, one.comment, replaced]),
        reviewer=one.reviewer,
        mode=desk.mode,
        item_id=one.item_id,
        verdict=one.verdict,
        expected=item.expected,
        score=score,
        side=None,
        seconds=one.seconds if math.isfinite(one.seconds) and one.seconds >= 0 else 0.0,
        blind=True,
        shown_order=1,
        comment=one.comment,
        source="person",
        created_at=datetime.now(UTC),
    )


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _from_csv(path: Path, text: str) -> Iterator[_Given]:
    csv.field_size_limit(MAX_CELL)
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    if missing := [name for name in ("item_id", "reviewer", "verdict") if name not in (reader.fieldnames or ())]:
        raise DataError(f"{path} has no column {missing[0]!r}; expected CSV with {', '.join(COLUMNS)}")
    for row in reader:
        if verdict := (row["verdict"] or "").strip() or (row.get("score") or "").strip():
            yield _Given(
                where=f"{path}, line {reader.line_num}",
                item_id=row["item_id"] or "",
                reviewer=(row["reviewer"] or "").strip().removeprefix("'"),
                verdict=verdict,
                seconds=float(row.get("seconds") or 0),
                comment=(row.get("comment") or "").removeprefix("'"),
            )


def _from_argilla(path: Path, text: str) -> Iterator[_Given]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            record = json.loads(line)
            for one in (record.get("responses") or {}).get("verdict") or []:
                where = f"{path}, line {number}"
                name = one["user_id"]
                yield _Given(
                    where=where,
                    item_id=str(record["id"]),
                    reviewer="" if name is None else str(name),
                    verdict=str(one["value"]),
                )


def _from_label_studio(path: Path, text: str) -> Iterator[_Given]:
    for number, task in enumerate(json.loads(text), start=1):
        for one in task.get("annotations") or []:
            by: Any = one.get("completed_by")
            name = by.get("email") or by.get("id") if isinstance(by, dict) else by
            for result in one.get("result") or []:
                if result.get("from_name") == "verdict":
                    yield _Given(
                        where=f"{path}, task {number}",
                        item_id=str(task["data"]["item_id"]),
                        reviewer=str(name or ""),
                        verdict=str(result["value"]["choices"][0]),
                        seconds=float(one.get("lead_time") or 0),
                    )


def _desk(room: ReviewRoom, mode: str, path: Path) -> Desk:
    if mode not in VERDICTS:
        raise ConfigError(f"no mode {mode!r}; there are: {', '.join(VERDICTS)}")
    if mode == "pairs":
        raise ConfigError("a file holds one text an item, a pair has two. Judge pairs in the browser")
    if path.suffix not in KINDS:
        raise ConfigError(f"{path}: expected .csv, .jsonl (Argilla) or .json (Label Studio)")
    return room.desk(mode)
