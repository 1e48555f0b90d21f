"""LLMBar as it was published reads through its column mapping."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from corpus.records import Conversation
from miner.data import ColumnMapping, read_preferences

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "llmbar"
LLMBAR = ColumnMapping(prompt="input", responses=("output_1", "output_2"), label="label")

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"LLMBar is not at {FOLDER}")


@pytest.mark.parametrize(
    ("name", "n_prompts", "n_skipped"),
    [
        ("natural", 100, 0),
        ("gptinst", 92, 0),
        ("gptout", 47, 0),
        ("manual", 46, 0),
        ("neighbor", 134, 0),
        ("mtbench", 75, 0),
        ("llmeval2", 198, 2),
        ("faireval", 66, 0),
    ],
)
def test_every_set_reads(name: str, n_prompts: int, n_skipped: int) -> None:
    path = FOLDER / f"{name}.json"
    data = read_preferences(path, columns=LLMBAR)
    rows = json.loads(path.read_text())
    assert len(data.prompts) == n_prompts
    assert (data.report.rows, sum(data.report.skipped.values())) == (len(rows), n_skipped)
    better = {_published(row, row["label"]) for row in rows}
    assert {(_as_published(p.conversation), p.reference) for p in data.prompts} <= better
    if n_prompts == len(rows):
        worse = {_published(row, 3 - row["label"]) for row in rows}
        assert {(_as_published(p.conversation), p.rejected[0]) for p in data.prompts} == worse


def test_a_dialogue_to_continue_reads_as_its_turns() -> None:
    data = read_preferences(FOLDER / "llmeval2.json", columns=LLMBAR)
    roles = {tuple(turn.role for turn in p.conversation) for p in data.prompts if len(p.conversation) > 1}
    assert roles >= {("system", "user"), ("system", "user", "assistant", "user")}
    assert all(turns[0] == "system" and turns[-1] == "user" for turns in roles)


def _published(row: dict[str, Any], answer: int) -> tuple[str, str]:
    """The prompt's words and one answer; the space after an open ``Assistant:`` is none of the answer's."""
    asked, text = _words(row["input"]), str(row[f"output_{answer}"])
    return asked, text.lstrip() if asked.endswith("Assistant:") else text


def _as_published(conversation: Conversation) -> str:
    """The words of LLMBar's own ``input``: a dialogue to be continued was written out by speaker there."""
    if len(conversation) == 1:
        return _words(conversation[0].content)
    speakers = {"system": "", "user": "Human: ", "assistant": "Assistant: "}
    return _words(" ".join(speakers[turn.role] + turn.content for turn in conversation) + " Assistant:")


def _words(text: str) -> str:
    return " ".join(text.split())
