"""The same preferences, in every layout people keep them in, are the same prompts."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpus.records import Message, Prompt
from miner.data import ColumnMapping, RowRules, read_preferences
from miner.errors import DataError
from tests.data.loaded import load_prompts

pytestmark = pytest.mark.ranges

Row = dict[str, Any]

# No space at the ends and no \r\n, which a transcript does not keep, no speaker names, and no envelope of JSON.
text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda value: (
        value == value.strip()
        and not any(part in value for part in ("Human:", "Assistant:", "\r\n"))
        and value[0] not in '["{'
    )
)
answers = st.lists(text, min_size=2, max_size=2, unique=True)
turns = st.lists(st.tuples(text, text), max_size=2)


@st.composite
def preferences(draw: st.DrawFn) -> tuple[tuple[Message, ...], str, str]:
    earlier = [
        Message(role=role, content=content)
        for pair in draw(turns)
        for role, content in zip(("user", "assistant"), pair, strict=True)
    ]
    chosen, rejected = draw(answers)
    return (*earlier, Message(role="user", content=draw(text))), chosen, rejected


def as_turns(*messages: Message) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.content} for turn in messages]


def as_share_gpt(*messages: Message) -> list[dict[str, str]]:
    names = {"user": "human", "assistant": "gpt"}
    return [{"from": names[turn.role], "value": turn.content} for turn in messages]


def as_transcript(*messages: Message) -> str:
    names = {"user": "Human", "assistant": "Assistant"}
    return "".join(f"\n\n{names[turn.role]}: {turn.content}" for turn in messages)


def said(text: str) -> Message:
    return Message(role="assistant", content=text)


LABELLED = ColumnMapping(prompt="q", responses=("one", "two"), label="better")

LAYOUTS: dict[str, tuple[Callable[..., Row], ColumnMapping | None]] = {
    "explicit prompt, plain responses": (lambda p, c, r: {"prompt": as_turns(*p), "chosen": c, "rejected": r}, None),
    "explicit prompt, conversational": (
        lambda p, c, r: {"prompt": as_turns(*p), "chosen": as_turns(said(c)), "rejected": as_turns(said(r))},
        None,
    ),
    "explicit prompt, whole conversations": (
        lambda p, c, r: {
            "prompt": as_turns(*p),
            "chosen": as_turns(*p, said(c)),
            "rejected": as_turns(*p, said(r)),
        },
        None,
    ),
    "prompt text of the last turn, whole conversations": (
        lambda p, c, r: {
            "prompt": p[-1].content,
            "chosen": as_turns(*p, said(c)),
            "rejected": as_turns(*p, said(r)),
        },
        None,
    ),
    "implicit prompt": (
        lambda p, c, r: {"chosen": as_turns(*p, said(c)), "rejected": as_turns(*p, said(r))},
        None,
    ),
    "ShareGPT turns": (
        lambda p, c, r: {"chosen": as_share_gpt(*p, said(c)), "rejected": as_share_gpt(*p, said(r))},
        None,
    ),
    "transcripts": (
        lambda p, c, r: {"chosen": as_transcript(*p, said(c)), "rejected": as_transcript(*p, said(r))},
        None,
    ),
    "transcript prompt": (
        lambda p, c, r: {"prompt": as_transcript(*p) + "\n\nAssistant:", "chosen": f" {c}", "rejected": f" {r}"},
        None,
    ),
    "list of rejected": (lambda p, c, r: {"prompt": as_turns(*p), "chosen": c, "rejected": [r]}, None),
    "list of rejected conversations": (
        lambda p, c, r: {"chosen": as_turns(*p, said(c)), "rejected": [as_turns(*p, said(r))]},
        None,
    ),
    "label": (lambda p, c, r: {"q": as_turns(*p), "one": r, "two": c, "better": 2}, LABELLED),
    "label as text": (lambda p, c, r: {"q": as_turns(*p), "one": c, "two": r, "better": "1"}, LABELLED),
    "label of other values, whole conversations": (
        lambda p, c, r: {"a": as_turns(*p, said(r)), "b": as_turns(*p, said(c)), "winner": "model_b"},
        ColumnMapping(responses=("a", "b"), label="winner", label_values=("model_a", "model_b")),
    ),
}


def write_lines(path: Path, rows: list[Row]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_marked_lines(path: Path, rows: list[Row]) -> Path:
    path.write_text("\r\n".join(map(json.dumps, rows)), encoding="utf-8-sig", newline="")
    return path


def write_zipped_lines(path: Path, rows: list[Row]) -> Path:
    path.write_bytes(gzip.compress("\n\n".join(map(json.dumps, rows)).encode()))
    return path


def write_array(path: Path, rows: list[Row]) -> Path:
    path.write_text("\ufeff \n" + json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8")
    return path


def write_zipped_array(path: Path, rows: list[Row]) -> Path:
    path.write_bytes(gzip.compress(json.dumps(rows).encode()))
    return path


def write_parquet(path: Path, rows: list[Row]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def write_dataset(path: Path, rows: list[Row]) -> Path:
    import datasets

    datasets.Dataset.from_list(rows).save_to_disk(str(path))
    return path


def write_datasets(path: Path, rows: list[Row]) -> Path:
    import datasets

    other = datasets.Dataset.from_list([{"prompt": "not this split"}])
    datasets.DatasetDict({"test": other, "train": datasets.Dataset.from_list(rows)}).save_to_disk(str(path))
    return path


CONTAINERS = [write_lines, write_marked_lines, write_zipped_lines, write_array, write_zipped_array, write_parquet]
FOLDERS = [write_dataset, write_datasets]


def expected_prompts(data: list[tuple[tuple[Message, ...], str, str]]) -> list[tuple[Any, ...]]:
    found: dict[tuple[Message, ...], tuple[str, list[str]]] = {}
    for conversation, chosen, rejected in data:
        found.setdefault(conversation, (chosen, []))[1].append(rejected)
    return [
        (conversation, reference, tuple(dict.fromkeys(one for one in rejected if one != reference)))
        for conversation, (reference, rejected) in found.items()
    ]


def facts(prompts: list[Prompt]) -> list[tuple[Any, ...]]:
    return [(prompt.conversation, prompt.reference, prompt.rejected) for prompt in prompts]


@pytest.mark.parametrize("layout", LAYOUTS)
@given(data=st.lists(preferences(), min_size=1, max_size=4), container=st.sampled_from(CONTAINERS))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_layout_in_every_file_reads_as_the_same_prompts(
    layout: str, data: list[Any], container: Callable[[Path, list[Row]], Path], tmp_path: Path
) -> None:
    write, mapping = LAYOUTS[layout]
    path = container(tmp_path / "data", [write(*preference) for preference in data])
    assert facts(load_prompts(path, columns=mapping)) == expected_prompts(data)


@pytest.mark.parametrize("container", [*CONTAINERS, *FOLDERS])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_container_reads_as_the_same_prompts(
    layout: str, container: Callable[[Path, list[Row]], Path], tmp_path: Path
) -> None:
    system, ask, again = (
        Message(role=role, content=c) for role, c in [("user", "hi"), ("user", "why?"), ("user", "?")]
    )
    data = [
        ((ask,), "because", "no"),
        ((system, said("yes?"), again), "zwölf", "日本"),
        ((ask,), "since", "never"),
    ]
    write, mapping = LAYOUTS[layout]
    path = container(tmp_path / "data", [write(*preference) for preference in data])
    prompts = load_prompts(path, columns=mapping)
    assert facts(prompts) == expected_prompts(data)
    assert facts(prompts)[0] == ((ask,), "because", ("no", "never"))


def test_prompts_alone_have_no_reference(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": "why?"},
        {"prompt": as_turns(Message(role="system", content="s"), Message(role="user", content="u"))},
    ]
    prompts = load_prompts(write_lines(tmp_path / "p.jsonl", rows))
    assert [(len(p.conversation), p.reference, p.rejected) for p in prompts] == [(1, None, ()), (2, None, ())]
    assert facts(
        load_prompts(write_lines(tmp_path / "m.jsonl", [{"messages": as_turns(*prompts[1].conversation)}]))
    ) == (facts(prompts[1:]))


def test_demonstrations_are_references_when_mapped_so(tmp_path: Path) -> None:
    turns = as_turns(Message(role="user", content="u"), said("a"))
    path = write_lines(tmp_path / "m.jsonl", [{"messages": turns}])
    assert facts(load_prompts(path, columns=ColumnMapping(chosen="messages"))) == [
        ((Message(role="user", content="u"),), "a", ())
    ]
    with pytest.raises(DataError, match=r"line 1.*last turn must be the user's; it is 'assistant'; map .* as chosen"):
        load_prompts(path, columns=ColumnMapping(prompt="messages"))


def test_null_responses_are_missing_ones(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "chosen": None, "rejected": "x"}, {"prompt": "b", "chosen": "y", "rejected": None}]
    assert [(p.reference, p.rejected) for p in load_prompts(write_lines(tmp_path / "n.jsonl", rows))] == [
        (None, ("x",)),
        ("y", ()),
    ]


def test_parts_that_are_all_text_are_one_text(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "what "}, {"type": "text", "text": "now?"}]
    path = write_lines(tmp_path / "p.jsonl", [{"prompt": [{"role": "user", "content": parts}]}])
    assert load_prompts(path)[0].conversation[0].content == "what now?"


def test_a_response_that_only_mentions_a_speaker_stays_text(tmp_path: Path) -> None:
    row = {"prompt": "write a dialogue", "chosen": "Human: hi\n\nAssistant: hello", "rejected": "no"}
    assert load_prompts(write_lines(tmp_path / "p.jsonl", [row]))[0].reference == row["chosen"]


def test_rows_that_teach_nothing_are_counted(tmp_path: Path) -> None:
    question = Message(role="user", content="q")
    rows = [
        {"chosen": as_turns(question, said("a")), "rejected": as_turns(question, said("a"))},
        {"chosen": as_turns(question, said("a")), "rejected": as_turns(question, said(" "))},
        {
            "chosen": as_turns(question, said("a"), question, said("b")),
            "rejected": as_turns(question, said("c"), question, said("b")),
        },
        {"chosen": as_turns(question, said("good")), "rejected": as_turns(question, said("bad"))},
        {"chosen": as_turns(question, said("bad")), "rejected": as_turns(question, said("good"))},
    ]
    other = Message(role="user", content="other")
    rows += [
        {"chosen": as_turns(question, said("a")), "rejected": as_turns(other, said("b"))},
        {
            "chosen": as_turns(question, said("a"), question, said("b")),
            "rejected": as_turns(question, said("a"), other, said("b")),
        },
        {
            "chosen": as_turns(question, said("a"), said("b")),
            "rejected": as_turns(question, said("a"), said("c")),
        },
    ]
    data = read_preferences(write_lines(tmp_path / "p.jsonl", rows), rules=RowRules(max_left_out=1))
    assert facts(list(data.prompts)) == [((question,), "good", ("bad",))]
    assert data.report.rows == 8
    assert list(data.report.skipped.values()) == [1, 1, 4]
    assert data.report.contradictions == 1
    with pytest.raises(DataError, match="none of 3 rows is usable: 1 × the responses are equal"):
        load_prompts(write_lines(tmp_path / "q.jsonl", rows[:3]))


def test_labelled_ties_are_counted(tmp_path: Path) -> None:
    mapping = ColumnMapping(prompt="q", responses=("a", "b"), label="l", label_values=(0, 1), tie_labels=("tie",))
    rows = [{"q": "x", "a": "1", "b": "2", "l": label} for label in ("0", "tie", "1")]
    data = read_preferences(write_lines(tmp_path / "p.jsonl", rows), columns=mapping)
    assert [(p.reference, p.rejected) for p in data.prompts] == [("1", ("2",))]
    assert sum(data.report.skipped.values()) == 1


@pytest.mark.parametrize("container", [write_lines, write_array, write_parquet])
def test_the_limit_counts_prompts(container: Callable[[Path, list[Row]], Path], tmp_path: Path) -> None:
    rows = [{"prompt": p, "chosen": "c", "rejected": r} for p, r in [("a", "1"), ("a", "2"), ("b", "3"), ("c", "4")]]
    data = read_preferences(container(tmp_path / "data", rows), limit=2)
    assert [(p.conversation[0].content, p.rejected) for p in data.prompts] == [("a", ("1", "2")), ("b", ("3",))]
    assert data.report.rows == 3
