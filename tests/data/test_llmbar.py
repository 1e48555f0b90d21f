"""LLMBar as it was published reads through its column mapping."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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
    better = {(row["input"], row[f"output_{row['label']}"]) for row in rows}
    assert {(p.conversation[0].content, p.reference) for p in data.prompts} <= better
    if n_prompts == len(rows):
        worse = {(row["input"], row[f"output_{3 - row['label']}"]) for row in rows}
        assert {(p.conversation[0].content, p.rejected[0]) for p in data.prompts} == worse
