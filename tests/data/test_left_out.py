"""Rows that cannot be used are counted and said; keys that a row lacks are nulls; too many losses stop the reading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from miner.data import ColumnMapping, RowRules, read_preferences
from miner.errors import DataError
from tests.data.loaded import load_prompts

ALL = RowRules(max_left_out=1)


def written(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def pair(n: int) -> dict[str, Any]:
    return {"prompt": f"q{n}", "chosen": "a", "rejected": "b"}


@pytest.mark.parametrize("at", [0, 299])
@pytest.mark.parametrize("lacks", ["chosen", "rejected"])
def test_a_key_that_one_row_lacks_is_null_there_alone(lacks: str, at: int, tmp_path: Path) -> None:
    rows = [pair(n) for n in range(300)]
    del rows[at][lacks]
    prompts = load_prompts(written(tmp_path / "a.jsonl", rows))
    assert [n for n, p in enumerate(prompts) if p.reference is None] == ([at] if lacks == "chosen" else [])
    assert [n for n, p in enumerate(prompts) if not p.rejected] == ([at] if lacks == "rejected" else [])


def test_a_column_that_only_late_rows_have_is_read(tmp_path: Path) -> None:
    rows: list[Any] = [{"prompt": f"q{n}", "chosen": "a"} for n in range(400)]
    prompts = load_prompts(written(tmp_path / "a.jsonl", [*rows, pair(400)]))
    assert (len(prompts), prompts[-1].rejected) == (401, ("b",))


def test_a_given_column_that_no_row_has_is_refused_even_after_many_rows(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", [pair(n) for n in range(300)])
    mapping = ColumnMapping(prompt="prompt", chosen="chosen", rejected="rejectd")
    with pytest.raises(DataError, match=r"no column 'rejectd' \(did you mean 'rejected'\?\)"):
        load_prompts(path, columns=mapping)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"prompt": None}, "there is no prompt"),
        ({"prompt": [{"role": "user", "content": None}]}, "a turn without text"),
        ({"prompt": [{"role": "robot", "content": "x"}]}, "a role that is not known"),
        ({"prompt": [{"role": "user", "content": [{"type": "image"}]}]}, "it shows an image"),
        ({"images": [{"path": "x.png"}]}, "it shows an image"),
        ({"rejected": "a"}, "the responses are equal"),
        ({"rejected": " "}, "the prompt or a response has no text"),
        ({"chosen": 3}, "a cell that is neither text nor turns"),
        ({"chosen": "\ud800"}, "text that is not valid Unicode"),
        ({"chosen": '[{"role": "assistant", '}, "a cell of JSON text that cannot be read"),
        ({"prompt": [{"role": "assistant", "content": "x"}]}, "the turns are no prompt and its answer"),
    ],
)
def test_one_unusable_row_is_left_out_counted_and_named(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", [*(pair(n) for n in range(40)), {**pair(40), **change}])
    read = read_preferences(path)
    [one] = read.report.left_out
    assert (read.report.rows, read.report.used, len(read.prompts), one.rows) == (41, 40, 40, 1)
    assert one.reason.startswith(reason)
    assert one.first.startswith(f"{path}, line 41")
    assert any(note.startswith("1 of 41 rows left out: 1 × ") for note in read.report.notes())


@pytest.mark.parametrize("line", ["{nope}", "null", "[1]", '"text"', '{"prompt": "\\q"}'])
def test_a_line_that_is_no_row_does_not_end_the_file(line: str, tmp_path: Path) -> None:
    lines = [json.dumps(pair(n)) for n in range(40)]
    (tmp_path / "a.jsonl").write_text("\n".join([*lines[:20], line, *lines[20:]]) + "\n")
    report = read_preferences(tmp_path / "a.jsonl").report
    assert (report.rows, report.skipped) == (41, {"not a row at all": 1})


def test_more_losses_than_allowed_stop_with_every_reason_and_the_way_on(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", [pair(0), {**pair(1), "rejected": "a"}, {**pair(2), "chosen": " "}])
    with pytest.raises(DataError) as caught:
        read_preferences(path)
    for part in (
        "2 of 3 rows would be left out",
        "1 × the responses are equal (first: ",
        "line 3",
        "data.max_left_out=1",
    ):
        assert part in str(caught.value)
    assert read_preferences(path, rules=ALL).report.used == 1


def test_ties_that_the_data_marks_itself_are_no_losses(tmp_path: Path) -> None:
    rows = [{"conversation_a": [{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": "a"}],
             "conversation_b": [{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": "b"}],
             "winner": ["model_a", "tie", "tie (bothbad)", None][n % 4]} for n in range(8)]  # fmt: skip
    report = read_preferences(written(tmp_path / "a.jsonl", rows)).report
    assert (report.used, report.skipped) == (2, {"labelled a tie": 6})


def test_a_tool_call_is_left_out_or_shown_as_text(tmp_path: Path) -> None:
    call = {"function": {"name": "weather", "arguments": '{"town": "Bergen"}'}}
    turns = [{"role": "user", "content": "Warm?"}, {"role": "assistant", "content": None, "tool_calls": [call]},
             {"role": "tool", "content": "11 C"}]  # fmt: skip
    path = written(tmp_path / "a.jsonl", [*(pair(n) for n in range(40)), {**pair(40), "prompt": turns}])
    assert read_preferences(path).report.skipped == {"a turn calls a tool": 1}
    shown = read_preferences(path, rules=RowRules(calls_as_text=True)).prompts[-1].conversation
    assert [turn.role for turn in shown] == ["user", "assistant", "tool"]
    assert "weather" in shown[1].content
    assert "Bergen" in shown[1].content


def test_good_answers_that_are_not_used_and_echoes_are_said(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "chosen": f"q a{n}", "rejected": "q b"} for n in range(3)]
    notes = read_preferences(written(tmp_path / "a.jsonl", rows)).report.notes()
    assert any(note.startswith("2 good or unjudged answers beyond the first") for note in notes)
    assert any(note.startswith("in 3 of 3 rows every answer begins with its prompt") for note in notes)


def test_prompts_that_all_share_a_first_turn_are_said_to_share_a_split(tmp_path: Path) -> None:
    hello = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    rows = [{**pair(n), "prompt": [*hello, {"role": "user", "content": f"q{n}"}], "topic": n} for n in range(30)]
    path = written(tmp_path / "a.jsonl", rows)
    assert "all 30 prompts share their first turn" in read_preferences(path).report.notes()[-1]
    mapping = ColumnMapping(prompt="prompt", chosen="chosen", rejected="rejected", group="topic")
    assert read_preferences(path, columns=mapping).report.groups == 30


def test_scores_of_rows_of_one_prompt_tell_better_from_worse(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "response": text, "helpfulness": score} for text, score in [("b", 1), ("a", 4), ("c", 2)]]
    [prompt] = load_prompts(written(tmp_path / "a.jsonl", rows))
    assert (prompt.reference, prompt.rejected) == ("a", ("c", "b"))


def test_half_a_surrogate_in_the_input_below_an_empty_instruction_is_counted(tmp_path: Path) -> None:
    rows = [{"instruction": "", "input": text, "chosen": "a", "rejected": "b"} for text in ("q", "\ud800")]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = read_preferences(path, rules=RowRules(max_left_out=1))
    assert read.report.skipped == {"text that is not valid Unicode": 1}
