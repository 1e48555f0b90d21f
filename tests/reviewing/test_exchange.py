"""Verdicts of other tools: out, filled in there, and in again."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest

from corpus import Corpus
from miner.errors import ConfigError, DataError
from miner.judging.reviews import standing
from miner.reviewing.exchange import read_verdicts, write_items
from miner.reviewing.items import ReviewPlan, reviewers_order
from miner.reviewing.room import ReviewRoom
from scripts.drills import samples


@pytest.fixture
def room(run_folder: Path) -> ReviewRoom:
    return ReviewRoom(run_folder, ReviewPlan(n=30))


def _fill_csv(path: Path, verdict: str) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows[0] |= {"reviewer": "Eve", "verdict": verdict, "seconds": "4.5", "comment": "so"}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _fill_argilla(path: Path, verdict: str) -> None:
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    records[0]["responses"] = {"verdict": [{"value": verdict, "user_id": "Eve"}]}
    path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")


def _fill_label_studio(path: Path, verdict: str) -> None:
    tasks = json.loads(path.read_text(encoding="utf-8"))
    result = {"from_name": "verdict", "to_name": "response", "type": "choices", "value": {"choices": [verdict]}}
    tasks[0]["annotations"] = [{"completed_by": {"email": "Eve"}, "lead_time": 4.5, "result": [result]}]
    path.write_text(json.dumps(tasks), encoding="utf-8")


Fill = Callable[[Path, str], None]
FILLED: list[tuple[str, Fill]] = [("csv", _fill_csv), ("jsonl", _fill_argilla), ("json", _fill_label_studio)]


@pytest.mark.parametrize(("kind", "fill"), FILLED)
def test_items_leave_blind_and_verdicts_come_back_once(room: ReviewRoom, tmp_path: Path, kind: str, fill: Fill) -> None:
    path = tmp_path / f"items.{kind}"
    n = write_items(room, "verdicts", path)
    assert n == room.desk("verdicts").items.total
    text = path.read_text(encoding="utf-8")
    assert not any(word in text for word in ("best_of_n", "expected", "planted", "margin", "certificate"))
    fill(path, "sensible")
    assert (read_verdicts(room, "verdicts", path), read_verdicts(room, "verdicts", path)) == (1, 0)
    (one,) = standing(room.corpus.reviews(), "verdicts")
    assert (one.reviewer, one.verdict, one.source) == ("Eve", "sensible", "person")
    assert one.item_id == next(iter(room.journal.last("verdicts", "Eve")))
    write_items(room, "verdicts", path)
    assert read_verdicts(room, "verdicts", path) == 0


def test_no_two_columns_of_a_file_tell_controls_from_findings(room: ReviewRoom, tmp_path: Path) -> None:
    write_items(room, "verdicts", tmp_path / "items.csv")
    with (tmp_path / "items.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    known = {one.item_id: one.expected for one in reviewers_order(room.desk("verdicts").items, "", 0)}
    kinds = {row["item_id"]: known[row["item_id"]] for row in rows}
    assert set(kinds.values()) == {None, "nonsense", "sensible"}
    told = {
        (one, other): {kind: {row[one] == row[other] for row in rows if kinds[row["item_id"]] == kind} for kind in
                       set(kinds.values())}
        for one, other in combinations(rows[0], 2)
    }  # fmt: skip
    assert not [pair for pair, same in told.items() if len({frozenset(one) for one in same.values()}) > 1]
    assert len({len(row["item_id"]) for row in rows}) == 1


@pytest.mark.parametrize(("kind", "fill"), FILLED)
def test_an_unknown_verdict_is_one_line_and_nothing_is_taken(
    room: ReviewRoom, tmp_path: Path, kind: str, fill: Fill
) -> None:
    path = tmp_path / f"items.{kind}"
    write_items(room, "verdicts", path)
    fill(path, "perhaps")
    with pytest.raises(
        DataError, match=r"(line|task) \d+: no verdict 'perhaps'; expected one of: cannot_tell"
    ) as error:
        read_verdicts(room, "verdicts", path)
    assert "\n" not in str(error.value)
    assert room.corpus.reviews() == []


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "item_id,reviewer,verdict\nnone,Eve,nonsense\n", "line 2: no item 'none'"),
        ("a.csv", "item,reviewer\n1,2\n", "no column 'item_id'"),
        ("a.csv", "item_id,reviewer,verdict,seconds\n1,Eve,nonsense,soon\n", "is not what review --to writes"),
        ("a.jsonl", "{}\nnot json\n", "is not what review --to writes"),
        ("a.jsonl", '{"id": "1", "responses": {"verdict": [{"value": "nonsense"}]}}\n', "KeyError"),
        ("a.json", '{"a": 1}', "is not what review --to writes"),
        ("a.json", "[1, 2]", "is not what review --to writes"),
    ],
)
def test_a_file_that_is_something_else_is_one_line(
    room: ReviewRoom, tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=said) as error:
        read_verdicts(room, "verdicts", tmp_path / name)
    assert "\n" not in str(error.value)
    assert room.corpus.reviews() == []


def test_who_changes_their_mind_twice_is_believed_twice(room: ReviewRoom, tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    write_items(room, "verdicts", path)
    for verdict in ("nonsense", "sensible", "nonsense"):
        _fill_csv(path, verdict)
        assert [read_verdicts(room, "verdicts", path) for _ in range(2)] == [1, 0]
    assert [one.verdict for one in standing(room.corpus.reviews(), "verdicts")] == ["nonsense"]
    assert len(room.corpus.reviews()) == 3


def test_a_long_text_comes_back(room: ReviewRoom, tmp_path: Path) -> None:
    room.corpus.append(samples.finding(900, response="soup " * 50_000))
    path, grown = tmp_path / "items.csv", ReviewRoom(room.run, ReviewPlan(n=200))
    write_items(grown, "verdicts", path)
    assert "soup " * 50_000 in path.read_text(encoding="utf-8")
    limit = csv.field_size_limit(10**6)
    _fill_csv(path, "nonsense")
    csv.field_size_limit(limit)
    assert read_verdicts(grown, "verdicts", path) == 1


def test_a_verdict_of_nobody_is_refused(room: ReviewRoom, tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    write_items(room, "verdicts", path)
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    records[0]["responses"] = {"verdict": [{"value": "nonsense", "user_id": None}]}
    path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    with pytest.raises(DataError, match="line 1: a verdict without a reviewer"):
        read_verdicts(room, "verdicts", path)
    assert room.corpus.reviews() == []


def test_pairs_leave_in_no_file(room: ReviewRoom, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Judge pairs in the browser"):
        write_items(room, "pairs", tmp_path / "items.csv")
    with pytest.raises(ConfigError, match="Judge pairs in the browser"):
        read_verdicts(room, "pairs", tmp_path / "items.csv")


def test_a_file_of_another_kind_or_mode_is_refused(room: ReviewRoom, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected \.csv"):
        write_items(room, "verdicts", tmp_path / "items.xlsx")
    with pytest.raises(ConfigError, match="no mode 'votes'"):
        write_items(room, "votes", tmp_path / "items.csv")


@pytest.mark.parametrize("formula", ["=cmd|' /C calc'!A0", "-1+SUM(1)", "@SUM(1+1)"])
def test_a_formula_leaves_as_text(tmp_path: Path, formula: str) -> None:
    Corpus(tmp_path / "corpus").append(samples.finding(response=formula), samples.finding(1))
    write_items(ReviewRoom(tmp_path, ReviewPlan(controls=0)), "verdicts", tmp_path / "items.csv")
    with (tmp_path / "items.csv").open(encoding="utf-8", newline="") as file:
        responses = {row["response"] for row in csv.DictReader(file)}
    assert responses == {f"'{formula}", "the the the 1"}
