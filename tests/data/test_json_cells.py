"""Cells whose text is JSON: read where it is a column's way of writing, refused where an envelope would be scored."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from miner.data import RowRules, read_preferences
from miner.errors import DataError
from tests.data.named_layouts import ANSWER, BAD, GOOD, LAYOUTS, USER, WRONG, Q, facts, written

NOT_IN_CSV = {"oasst trees", "oasst messages"}
IN_CSV = [(name, rows) for name, rows in LAYOUTS if name not in NOT_IN_CSV]
PLAIN = [{"prompt": f"{Q} {n}", "chosen": f"{GOOD} {n}", "rejected": BAD} for n in range(30)]
ENVELOPES: list[Any] = [
    [GOOD], {"text": GOOD}, {"content": GOOD}, [{"text": GOOD}], [{"type": "text", "text": GOOD}], f'{GOOD}\n"so"',
]  # fmt: skip


def in_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(
            {
                key: cell if isinstance(cell, str) else "" if cell is None else json.dumps(cell)
                for key, cell in row.items()
            }
            for row in rows
        )
    return path


@pytest.mark.parametrize(("name", "rows"), IN_CSV, ids=[f"{n}-{one[0]}" for n, one in enumerate(IN_CSV)])
def test_every_named_layout_reads_the_same_from_csv(name: str, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    read = read_preferences(in_csv(tmp_path / "data.csv", rows))
    assert (read.report.read_as, facts(read.prompts)) == (name, [([("user", Q)], GOOD, (BAD,))])


@pytest.mark.parametrize("column", ["prompt", "chosen", "rejected"])
@pytest.mark.parametrize("pack", [json.dumps, lambda text: json.dumps({"text": text}), lambda text: repr([text])])
def test_a_column_of_envelopes_is_opened(pack: Any, column: str, tmp_path: Path) -> None:
    rows = [{**row, column: pack(row[column])} for row in PLAIN]
    if pack(Q).startswith("[") and column != "prompt":  # lists of texts are envelopes where all answers are
        rows = [{**row, "chosen": pack(row["chosen"]), "rejected": pack(row["rejected"])} for row in PLAIN]
    read = read_preferences(written(tmp_path / "a.jsonl", rows))
    assert facts(read.prompts) == facts(read_preferences(written(tmp_path / "b.jsonl", PLAIN)).prompts)


@pytest.mark.parametrize("column", ["prompt", "chosen", "rejected"])
@pytest.mark.parametrize("envelope", ENVELOPES, ids=str)
def test_an_envelope_in_some_rows_is_left_out_and_counted(envelope: Any, column: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", [{**PLAIN[0], column: json.dumps(envelope)}, *PLAIN[1:]])
    report = read_preferences(path).report
    assert report.skipped == {"a cell of JSON text that cannot be read": 1}
    assert "--set data.json_text=keep" in report.left_out[0].first
    kept = read_preferences(path, rules=RowRules(keep_json_text=True))
    assert (kept.report.used, kept.report.json_answers) == (len(PLAIN), 0)


@pytest.mark.parametrize("turns", [[{"name": None, **USER}], [{"weight": 1, "role": "user", "content": Q}]])
def test_turns_are_told_by_their_keys_in_whatever_order(turns: list[dict[str, Any]], tmp_path: Path) -> None:
    rows = [{**PLAIN[0], "prompt": json.dumps(turns)}, *PLAIN[1:]]
    read = read_preferences(written(tmp_path / "a.jsonl", rows))
    assert facts(read.prompts)[0][0] == [("user", Q)]
    torn = [{**PLAIN[0], "prompt": json.dumps(turns)[:-9]}, *PLAIN[1:]]
    assert read_preferences(written(tmp_path / "b.jsonl", torn)).report.used == len(PLAIN) - 1


@pytest.mark.parametrize(
    "pack",
    [
        lambda text: {"answer": text, "confidence": 0.9},
        lambda _text: {"answer": 5},
        lambda text: [{"text": text, "label": "X"}, {"text": "b", "label": "Y"}],
        lambda text: {"question": text, "context": "of it all"},
    ],
    ids=["struct", "number", "entities", "context"],
)
@pytest.mark.parametrize("column", ["prompt", "chosen", "rejected"])
def test_json_of_more_than_a_text_is_the_text_itself_in_one_row_and_in_all(
    pack: Any, column: str, tmp_path: Path
) -> None:
    for rows in ([{**row, column: json.dumps(pack(row[column]))} for row in PLAIN],
                 [{**PLAIN[0], column: json.dumps(pack(PLAIN[0][column]))}, *PLAIN[1:]]):  # fmt: skip
        read = read_preferences(written(tmp_path / "a.jsonl", rows), rules=RowRules(max_left_out=0))
        assert read.report.json_columns == ()
        (_, text), prompt = facts(read.prompts)[0][0][0], read.prompts[0]
        assert {"prompt": text, "chosen": prompt.reference, "rejected": prompt.rejected[0]}[column] == rows[0][column]


def test_text_after_rows_of_json_text_is_left_out_with_the_way_out(tmp_path: Path) -> None:
    rows = [{**row, "prompt": json.dumps([f"{row['prompt']} {n}"])} for n in range(10) for row in PLAIN]
    path = written(tmp_path / "a.jsonl", [*rows, *({**row, "prompt": f"{Q} {n}"} for n, row in enumerate(rows))])
    with pytest.raises(DataError, match=r"300 of 600 rows would be left out.*--set data\.json_text=keep"):
        read_preferences(path)
    assert read_preferences(path, rules=RowRules(keep_json_text=True)).report.used == 600


def test_a_cell_that_only_begins_like_a_literal_is_no_work(tmp_path: Path) -> None:
    """Reading 256 of these as Python takes seconds."""
    code = "{" + ", ".join(f"'a{n}': foo({n})" for n in range(2000)) + "}"
    rows = [{**row, "chosen": f"{code[:-1]}, {n}: 1}}"} for n, row in enumerate(PLAIN)]
    parses = []

    def parsed(text: str) -> Any:
        parses.append(text)
        raise ValueError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("miner.data.cells.ast.literal_eval", parsed)
        assert read_preferences(written(tmp_path / "a.jsonl", rows)).report.used == len(PLAIN)
    assert len(parses) <= 2  # to see that the column is none


@pytest.mark.parametrize("answer", ['{"country": "Denmark", "capital": "Copenhagen"}', '["a", "b"]', "[1, 2]", "{}"])
def test_an_answer_that_is_json_is_the_answer_and_said_so(answer: str, tmp_path: Path) -> None:
    rows = [{**PLAIN[0], "chosen": answer}, *PLAIN[1:]]
    read = read_preferences(written(tmp_path / "a.jsonl", rows))
    assert read.prompts[0].reference == answer
    assert read.report.json_answers == 1
    assert any("in 1 of 30 rows an answer is JSON" in note for note in read.report.notes())


def test_a_sentence_in_quotes_is_a_sentence(tmp_path: Path) -> None:
    rows = [{**PLAIN[0], "chosen": '"To be, or not to be"'}, *PLAIN[1:]]
    assert read_preferences(written(tmp_path / "a.jsonl", rows)).prompts[0].reference == '"To be, or not to be"'


def test_a_cell_that_is_torn_in_a_column_of_json_text_is_left_out(tmp_path: Path) -> None:
    rows = [
        {"chosen": json.dumps([{**USER, "content": f"{Q} {n}"}, ANSWER]),
         "rejected": json.dumps([{**USER, "content": f"{Q} {n}"}, WRONG])} for n in range(300)
    ]  # fmt: skip
    rows[299]["chosen"] = rows[299]["chosen"][:-4]  # after the rows that the layout is told by
    report = read_preferences(written(tmp_path / "a.jsonl", rows)).report
    assert report.skipped == {"a cell of JSON text that cannot be read": 1}
    with pytest.raises(DataError, match=r"300 rows would be left out|none of 300"):
        read_preferences(written(tmp_path / "b.jsonl", rows), rules=RowRules(keep_json_text=True))
