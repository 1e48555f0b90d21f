"""A run stores the prompts it was measured on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from miner.errors import DataError
from miner.measuring.overopt.eval_prompts import PROMPTS_FILE, read_prompts
from miner.measuring.overopt.rl import RlRun


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_run_stores_the_prompts_it_was_measured_on(
    toy_run: Callable[..., RlRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = toy_run(name="overopt/rl", steps=2)
    run.run()
    expected = {one.prompt_id: one.conversation for one in run.evaluation.prompts}
    assert read_prompts(tmp_path / "overopt") == expected
    (run.folder / PROMPTS_FILE).unlink()
    assert read_prompts(tmp_path / "overopt") == {}
    monkeypatch.setattr(RlRun, "_train", None)
    run.run()
    assert read_prompts(tmp_path / "overopt") == expected


def test_stored_prompts_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    path = tmp_path / "rl-seed0" / PROMPTS_FILE
    path.parent.mkdir()
    path.write_text('{"prompt_id": "p"}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"prompts\.jsonl, line 1: .*prompt"):
        read_prompts(tmp_path)
