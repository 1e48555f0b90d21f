"""Sets of the same size, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from miner.errors import ConfigError, DataError, RmMinerError
from miner.measuring.diversity.checkpoints import read_checkpoints
from miner.measuring.diversity.measurement import sizes_for
from miner.measuring.diversity.response_sets import PromptResponses, ResponseSets, read_texts, sets_across, sets_within


def response_sets(n_prompts: int, n_texts: int) -> ResponseSets:
    return ResponseSets(
        label="w",
        written=tuple(
            PromptResponses(key=str(p), group=str(p), responses=tuple(f"text {p} {i}" for i in range(n_texts)))
            for p in range(n_prompts)
        ),
    )


def test_a_set_across_prompts_has_one_text_of_each() -> None:
    sets = sets_across(response_sets(13, 3), 4, seed=0)
    assert len(sets) == 3 * 3
    for one in sets:
        assert len({text.split()[1] for text in one.texts}) == 4
    assert len({one.group for one in sets}) == 3, "sets of the same prompts are one group"


def test_blocks_are_the_same_whatever_the_texts_are() -> None:
    assert [one.key for one in sets_across(response_sets(10, 2), 5, seed=1)] == [
        one.key for one in sets_across(response_sets(10, 2), 5, seed=1)
    ]


def test_a_prompt_with_too_few_texts_has_no_set() -> None:
    short = PromptResponses(key="short", group="short", responses=("a", "b"))
    mixed = ResponseSets(label="w", written=(*response_sets(5, 4).written, short))
    assert len(sets_within(mixed, 3)) == 5


def test_all_sides_are_measured_at_the_same_size() -> None:
    sizes = sizes_for([response_sets(20, 8), response_sets(30, 5)], 6, seed=0)
    assert (sizes.within, sizes.across) == (5, 4)


def test_too_few_texts_for_an_interval_are_refused() -> None:
    with pytest.raises(ConfigError, match="too few for an interval") as caught:
        sizes_for([response_sets(4, 2)], 16, seed=0)
    assert "\n" not in str(caught.value)


def test_texts_with_prompts_are_grouped_and_others_are_not_paired(tmp_path: Path) -> None:
    asked, alone = tmp_path / "asked.jsonl", tmp_path / "alone.jsonl"
    asked.write_text("".join(json.dumps({"prompt": f"p{i % 2}", "text": f"t{i}"}) + "\n" for i in range(10)))
    alone.write_text('{"text": "a"}\n"b"\n{"response": "c"}\n')
    grouped = read_texts(asked, samples=4, seed=0)
    assert [len(one.responses) for one in grouped.written] == [4, 4]
    assert all(text[1:] in "02468" for text in grouped.written[0].responses)
    assert not read_texts(alone, samples=4, seed=0).paired
    assert read_texts(alone, samples=4, seed=0).texts == ("a", "b", "c")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no text"),
        ('{"text": "a"}\n{"txt": 1}\n', "line 2"),
        ("{", "line 1"),
        ('{"text": "a", "prompt": 3}', '"prompt"'),
    ],
)
def test_files_that_are_no_texts_are_refused_in_one_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read_texts(path, samples=4, seed=0)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="cannot read"):
        read_texts(tmp_path / "nowhere.jsonl", samples=4, seed=0)


def test_checkpoints_bring_what_is_known_of_them(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "p", "text": "t"}\n')
    (tmp_path / "step-2").mkdir()
    path = tmp_path / "curve.jsonl"
    path.write_text(
        '{"label": "before", "texts": "a.jsonl"}\n'
        '{"label": "step 2", "policy": "step-2", "sqrt_kl": 1.5, "gold": 0.2}\n'
    )
    before, after = read_checkpoints(path, samples=4, seed=0)
    assert before.response_sets is not None
    assert before.response_sets.texts == ("t",)
    assert (after.policy, after.sqrt_kl, after.gold) == (str(tmp_path / "step-2"), 1.5, 0.2)
    path.write_text('{"label": "neither"}\n')
    with pytest.raises(RmMinerError, match="line 1"):
        read_checkpoints(path, samples=4, seed=0)
