"""The split is decided by the group alone, before anything else."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.data import ColumnMapping, SplitFractions, read_preferences, split_of
from miner.errors import ConfigError, DataError
from tests.data.loaded import load_prompts

fractions = (
    st.tuples(*[st.integers(0, 10)] * 3)
    .filter(any)
    .map(lambda n: SplitFractions(train=n[0] / sum(n), calibration=n[1] / sum(n), held_out=n[2] / sum(n)))
)


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_splits_are_the_same_for_ever() -> None:
    initials = {"train": "t", "calibration": "c", "held_out": "h"}
    assert (
        "".join(initials[split_of(key, SplitFractions())] for key in "abcdefghijklmnopqrstuvwx")
        == "tththtccttttcthcttctcttc"
    )


def test_fractions_are_met_over_many_groups() -> None:
    counts = Counter(split_of(f"group {n}", SplitFractions(), "salt") for n in range(5000))
    assert counts["train"] / 5000 == pytest.approx(0.6, abs=0.03)
    assert counts["calibration"] / 5000 == pytest.approx(0.2, abs=0.03)


@given(st.text(), st.text())
def test_a_fraction_of_one_takes_all_and_of_zero_none(key: str, salt: str) -> None:
    assert split_of(key, SplitFractions(train=1, calibration=0, held_out=0), salt) == "train"
    assert split_of(key, SplitFractions(train=0, calibration=1, held_out=0), salt) == "calibration"
    assert split_of(key, SplitFractions(train=0, calibration=0, held_out=1), salt) == "held_out"


@given(st.text(), fractions)
def test_more_for_training_takes_no_group_out_of_it(key: str, shares: SplitFractions) -> None:
    if split_of(key, shares) == "train":
        more = (shares.train + 1) / 2
        assert split_of(key, SplitFractions(train=more, calibration=1 - more, held_out=0)) == "train"


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (1.2, -0.1, -0.1), (float("nan"), 0.5, 0.5)])
def test_fractions_that_are_no_shares_are_refused(shares: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigError, match="sum to 1"):
        SplitFractions(train=shares[0], calibration=shares[1], held_out=shares[2])


def test_a_salt_moves_groups(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", [{"prompt": f"question {n}"} for n in range(50)])
    plain, salted = load_prompts(path), load_prompts(path, split_salt="other")
    assert [p.split for p in plain] == [p.split for p in load_prompts(path)]
    assert [p.split for p in plain] != [p.split for p in salted]
    assert [p.group_key for p in plain] == [p.group_key for p in salted]


def test_later_points_of_a_conversation_share_its_split(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = []
    for n in range(30):
        first, answer = {"role": "user", "content": f"Question {n}"}, {"role": "assistant", "content": "well"}
        rows.append({"prompt": [first]})
        rows.append({"prompt": [first, answer, {"role": "user", "content": "and then?"}]})
        rows.append({"prompt": [{"role": "system", "content": "be brief"}, first]})
        rows.append({"prompt": f"question  {n}\n"})
    prompts = load_prompts(write(tmp_path / "p.jsonl", rows))
    for n in range(30):
        assert len({(p.group_key, p.split) for p in prompts[4 * n : 4 * n + 4]}) == 1
    assert len({p.split for p in prompts}) == 3


def test_a_mapped_group_decides_and_the_first_row_keeps_a_prompt(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"q": f"q{n}", "source": n % 5} for n in range(40)] + [{"q": "q0", "source": "x"}]
    data = read_preferences(write(tmp_path / "p.jsonl", rows), columns=ColumnMapping(prompt="q", group="source"))
    assert [p.group_key for p in data.prompts[:6]] == ["0", "1", "2", "3", "4", "0"]
    assert len({(p.group_key, p.split) for p in data.prompts}) == 5
    assert data.report.regrouped == 1
    assert sum(data.report.prompts_by_split.values()) == len(data.prompts) == 40


@pytest.mark.parametrize("value", [None, 1.5, "", ["a"], True])
def test_a_group_that_cannot_be_hashed_is_refused(value: object, tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", [{"q": "a", "source": value}])
    with pytest.raises(DataError, match=r"line 1, column 'source': expected text or a whole number"):
        load_prompts(path, columns=ColumnMapping(prompt="q", group="source"))
