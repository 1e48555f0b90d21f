"""Prompts that are made when asked for are a sequence like any other."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from miner.data import SPLITS, each_split, in_split, read_preferences
from miner.errors import DataError
from tests.data.named_layouts import written


def test_items_slices_and_splits_are_those_of_all(tmp_path: Path) -> None:
    rows = [{"prompt": f"q {n % 1500}", "chosen": f"a {n}", "rejected": f" b {n}"} for n in range(3000)]
    prompts = read_preferences(written(tmp_path / "rows.jsonl", rows)).prompts
    made = list(prompts)
    assert len(prompts) == len(made) == 1500
    assert made[7].rejected == (" b 7", " b 1507")
    assert [prompts[at] for at in (0, 700, -1)] == [made[0], made[700], made[-1]]
    assert list(prompts[10:1400:7]) == made[10:1400:7]
    assert each_split(prompts) == each_split(made) == [prompt.split for prompt in made]
    for split in SPLITS:
        assert list(in_split(prompts, split)) == list(in_split(made, split)) != []
    with pytest.raises(IndexError):
        prompts[1500]


@pytest.mark.skipif(sys.platform == "win32", reason="no limit to the size of files there")
def test_wherever_room_ends_it_is_said_what_to_do(tmp_path: Path) -> None:
    import resource

    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"why {n}", "chosen": "so\n" * 300, "rejected": "no"}) + "\n"
                            for n in range(600)))  # fmt: skip
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    told: list[int | str] = []
    try:
        for limit in range(20_000, 700_000, 17_000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            try:
                told.append(len(read_preferences(path).prompts))
            except DataError as error:
                told.append(str(error))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert told[-1] == 600
    assert any(isinstance(one, str) for one in told)
    assert all(one == 600 or "Set TMPDIR to a folder with more room" in str(one) for one in told)
