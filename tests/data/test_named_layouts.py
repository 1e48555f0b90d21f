"""Every named layout, by an example row as its publisher writes it, is recognised and read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from miner.data import ColumnMapping, read_preferences
from tests.data.named_layouts import BAD, DEMONSTRATIONS, GOOD, GPT, GPT_WRONG, LAYOUTS, PAIR, Q, facts, written


@pytest.mark.parametrize(("name", "rows"), LAYOUTS, ids=[f"{n}-{one[0]}" for n, one in enumerate(LAYOUTS)])
def test_it_is_recognised_and_read(name: str, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    read = read_preferences(written(tmp_path / "data.jsonl", rows))
    assert read.report.read_as == name
    assert facts(read.prompts) == [([("user", Q)], GOOD, (BAD,))]
    assert read.report.notes()[0].startswith(f"read as {name}; override with --set 'data.columns={{")


@pytest.mark.parametrize(("name", "row"), DEMONSTRATIONS, ids=[one[0] for one in DEMONSTRATIONS])
def test_demonstrations_are_good_answers_without_bad_ones(name: str, row: dict[str, Any], tmp_path: Path) -> None:
    read = read_preferences(written(tmp_path / "data.jsonl", [row]))
    assert (read.report.read_as, facts(read.prompts)) == (name, [([("user", Q)], GOOD, ())])


def test_system_text_instruction_and_input_are_all_read(tmp_path: Path) -> None:
    row = {"system": "Be brief.", "instruction": "Answer.", "input": Q, "history": [["Hi", "Hello"]], **PAIR}
    [(turns, _, _)] = facts(read_preferences(written(tmp_path / "a.jsonl", [row])).prompts)
    assert turns == [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"), ("user", f"Answer.\n{Q}")]


def test_columns_that_a_given_mapping_leaves_out_are_named(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", [{"system": "Be brief.", "question": Q, **PAIR}])
    mapping = ColumnMapping(prompt="question", chosen="chosen", rejected="rejected")
    notes = read_preferences(path, columns=mapping).report.notes()
    assert notes[0] == "columns not read: 'system'"
    assert "look like Orca pairs; all of it is read by --set" in notes[1]
    assert 'system="system"' in notes[1]


@pytest.mark.parametrize(("strength", "better"), [(-3, "a"), (-1, "a"), (1, "b"), (3, "b"), ("2", "b"), (-2.0, "a")])
def test_the_sign_of_a_strength_decides(strength: object, better: str, tmp_path: Path) -> None:
    row = {"prompt": Q, "response_1": "a", "response_2": "b", "preference_strength": strength}
    assert read_preferences(written(tmp_path / "a.jsonl", [row])).prompts[0].reference == better


@pytest.mark.parametrize("label", [None, 0, 0.0])
def test_no_strength_is_a_tie_and_no_loss(label: object, tmp_path: Path) -> None:
    rows = [{"prompt": Q, "response_1": "a", "response_2": "b", "preference_strength": one} for one in (1, label)]
    report = read_preferences(written(tmp_path / "a.jsonl", rows)).report
    assert (report.rows, report.used, report.skipped) == (2, 1, {"labelled a tie": 1})


def test_every_sharegpt_name_of_a_role_is_known_in_any_case(tmp_path: Path) -> None:
    names = ["SYSTEM", "Human", "function_call", "observation", "ChatGPT", "prompter"]
    turns = [{"from": name, "value": f"text {n}"} for n, name in enumerate(names)]
    row = {"chosen": [*turns, GPT], "rejected": [*turns, GPT_WRONG]}
    [(turns_read, _, _)] = facts(read_preferences(written(tmp_path / "a.jsonl", [row])).prompts)
    assert [role for role, _ in turns_read] == ["system", "user", "assistant", "tool", "assistant", "user"]


def test_one_winner_column_of_two_does_not_turn_ties_into_wins(tmp_path: Path) -> None:
    rows = [
        {"prompt": json.dumps([f"{Q} {n}"]), "response_a": '["x"]', "response_b": '["y"]', "winner_model_a": a,
         "winner_model_b": b}
        for n, (a, b) in enumerate([(1, 0), (0, 1), (0, 0)])
    ]  # fmt: skip
    mapping = ColumnMapping(
        prompt="prompt", responses=("response_a", "response_b"), label="winner_model_a", label_values=(1, 0)
    )
    read = read_preferences(written(tmp_path / "a.jsonl", rows), columns=mapping)
    assert [p.reference for p in read.prompts] == ["x", "y"]
    assert read.report.skipped == {"labelled a tie": 1}
    assert any("JSON text in" in note for note in read.report.notes())


def test_an_answer_that_is_a_json_list_stays_text_where_the_other_is_none(tmp_path: Path) -> None:
    rows = [{"prompt": f"{n} in JSON", "chosen": '["a", "b"]', "rejected": "a and b"} for n in range(3)]
    assert read_preferences(written(tmp_path / "a.jsonl", rows)).prompts[0].reference == '["a", "b"]'
