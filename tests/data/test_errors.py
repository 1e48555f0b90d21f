"""Data that cannot be read says in which file and line, and what to do."""

from __future__ import annotations

import gzip
import json
import re
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miner.data import ColumnMapping, read_preferences
from miner.errors import ConfigError, DataError
from tests.data.loaded import load_prompts

GOOD = {"prompt": "q", "chosen": "a", "rejected": "b"}


def lines(*rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


FILES: list[tuple[str, bytes, str]] = [
    ("empty", b"", "the file is empty"),
    ("blank", b"\n \n", "the file is empty"),
    ("empty array", b" [ ] ", "the file is empty"),
    ("bad line", lines(GOOD) + b"{nope}\n", "line 2: not valid JSON: .* at column 2"),
    ("torn line", lines(GOOD, GOOD)[:-9], "line 2: not valid JSON"),
    ("deep line", b"[" * 100_000, "line 1: not a valid JSON array: .*recursion"),
    ("deep object", b'{"a":' * 100_000, "line 1: not usable JSON: .*recursion"),
    ("not UTF-8", lines(GOOD) + b'{"prompt": "\xff"}\n', r"line 2: not valid UTF-8: .*0xff"),
    ("array not UTF-8", b'[\n{"prompt": "a"},\n{"prompt": "\xff"}]', r"line 3: not valid UTF-8: .*0xff"),
    ("long array not UTF-8", b"[" + b'{"prompt": "a"},\n' * 9999 + b"\xff", r"line 10000: not valid UTF-8: .*0xff"),
    ("array cut in a character", '[{"prompt": "ü'.encode()[:-1], r"line 1: not valid UTF-8"),
    ("bad array", b'[\n{"prompt": "a"},\n\n{"prompt" 1}]', "line 4: not a valid JSON array: Expecting ':'"),
    ("torn array", b'[\n{"prompt": "a"},\n{"prompt": "b"', "line 3: not a valid JSON array"),
    ("open array", b'[{"prompt": "a"}\n', "line 2: not a valid JSON array: it ends too early"),
    ("array without comma", b'[{"prompt": "a"} {"prompt": "b"}]', "line 1: .*expected ',', got '{'"),
    ("after the array", b'[{"prompt": "a"}]\n{}', "line 2: .*more after the closing bracket"),
    ("no objects", b'["a", "b"]', "line 1: expected a JSON object per row; got str"),
    ("null row", b'{"prompt": "a"}\nnull\n', "line 2: expected a JSON object per row; got null"),
    ("torn gzip", gzip.compress(lines(*[{**GOOD, "prompt": str(n)} for n in range(999)]))[:-20], "torn or corrupt"),
    ("corrupt gzip", gzip.compress(lines(GOOD))[:-8] + b"12345678", "torn or corrupt after line 0"),
    ("torn Parquet", b"PAR1 and no more", "not a readable Parquet file"),
    (
        "surrogate",
        lines({**GOOD, "chosen": "\ud800x"}),
        "line 1, column 'chosen': .*lone surrogate U\\+D800 at character 1",
    ),
    ("surrogate turn", lines({"prompt": [{"role": "user", "content": "a\udfff"}]}), "turn 1: not valid Unicode"),
    (
        "later column",
        lines(GOOD, {"prompt": "q", "chosen": "a", "rejectd": "b"}),
        "line 2: no column 'rejected' .did you mean",
    ),
    ("misspelt", lines({"prompt": "q", "choosen": "a", "rejected": "b"}), "'choosen' meant to be 'chosen'"),
    ("misspelt alone", lines({"prompt": "q", "choosen": "a"}), "'choosen' meant to be 'chosen'"),
    (
        "other names",
        lines({"question": "q", "best": "a"}),
        "columns are: 'question', 'best'. Say what is in them: --set",
    ),
    ("rejected alone", lines({"rejected": "b"}), "expected columns"),
    ("wrong type", lines(GOOD, {**GOOD, "chosen": 3}), "line 2, column 'chosen': expected text .*; got int 3"),
    ("null prompt", lines({**GOOD, "prompt": None}), "line 1, column 'prompt': expected text .*; got null"),
    ("no turns", lines({**GOOD, "prompt": []}), "column 'prompt': expected text .*; got an empty list"),
    ("turn of a wrong type", lines({**GOOD, "prompt": [3]}), "turn 1: expected {role, content}; got int 3"),
    ("role", lines({"prompt": [{"role": "robot", "content": "a"}]}), "expected a role of .*; got str 'robot'"),
    ("content", lines({"prompt": [{"role": "user", "content": None}]}), "turn 1: expected text as content; got null"),
    ("image", lines({"prompt": [{"role": "user", "content": [{"type": "image"}]}]}), "expected text as content"),
    ("assistant last", lines({**GOOD, "prompt": [{"role": "assistant", "content": "a"}]}), "must be the user's; it is"),
    ("user answers", lines({**GOOD, "chosen": [{"role": "user", "content": "a"}]}), "must be the assistant's turn"),
    (
        "another prompt",
        lines({**GOOD, "chosen": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "a"}]}),
        "2 turns that does not start with the prompt's",
    ),
    ("plain implicit", lines({"chosen": "The sky is blue", "rejected": "The sky is green"}), "map the prompt column"),
    ("null implicit", lines({"chosen": None, "rejected": None}), "every response is null"),
    ("ties", lines({**GOOD, "rejected": "a"}), "none of 1 rows is usable: 1 × the responses are equal"),
    (
        "empty prompt",
        lines({**GOOD, "prompt": " "}),
        "none of 1 rows is usable: 1 × the prompt or a response has no text",
    ),
]


@pytest.mark.parametrize(("content", "message"), [one[1:] for one in FILES], ids=[one[0] for one in FILES])
def test_the_message_names_the_file_and_the_line(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_prompts(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["nowhere/pairs.jsonl", "/nowhere/pairs", "a/b/c", Path("nowhere")])
def test_a_missing_file_is_not_looked_for_on_the_hub(source: str | Path) -> None:
    with pytest.raises(DataError, match=f"{source}: no such file"):
        load_prompts(source)


def test_a_hub_id_out_of_reach_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def unreachable(path: str, *, split: str, revision: str | None) -> None:
        raise ConnectionError(f"no route to {path} {split} {revision}")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(DataError, match=r"owner/name@v1: .*no route to owner/name test v1"):
        load_prompts("owner/name@v1", hub_split="test")


def test_a_folder_of_something_else_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"nothing to read")
    with pytest.raises(DataError, match=r"no data in this folder \(it holds notes.txt\); expected data files"):
        load_prompts(tmp_path)


def test_a_missing_split_of_a_saved_dataset_names_those_there(tmp_path: Path) -> None:
    import datasets

    datasets.DatasetDict({"test": datasets.Dataset.from_list([GOOD])}).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(DataError, match="no split 'train'; it has 'test'"):
        load_prompts(tmp_path / "saved")


def test_parquet_damage_is_found_and_text_that_is_not_utf8_too(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "p.parquet"
    table = pa.table({"prompt": [f"question {n}" for n in range(2000)]})
    pq.write_table(table, path, write_page_checksum=True, compression="none", use_dictionary=False)
    path.write_bytes(path.read_bytes().replace(b"question 1000", b"question 2000"))
    with pytest.raises(DataError, match=rf"{path}: torn or corrupt after row 0"):
        load_prompts(path)
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())
    pq.write_table(pa.table({"prompt": broken}), path)
    with pytest.raises(DataError, match=r"after row 0: .*Invalid UTF8 sequence"):
        load_prompts(path)


@pytest.mark.parametrize("label", [0, 3, True, 1.5, "x"])
def test_a_label_without_meaning_names_those_that_have_one(label: object, tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    path.write_bytes(lines({"input": "q", "output_1": "a", "output_2": "b", "label": label}))
    mapping = ColumnMapping(prompt="input", responses=("output_1", "output_2"), label="label")
    with pytest.raises(DataError, match=re.escape("line 1, column 'label': expected one of 1 ('output_1'), 2 (")):
        load_prompts(path, columns=mapping)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({}, "needs prompt, chosen or responses"),
        ({"prompt": "p", "responses": ("a", "b")}, "responses and label go together"),
        ({"prompt": "p", "label": "l"}, "responses and label go together"),
        ({"responses": ("a", "b"), "label": "l", "chosen": "c"}, "not both"),
        ({"responses": ("a",), "label": "l"}, "two different columns"),
        ({"responses": ("a", "b"), "label": "l", "label_values": (1,)}, "one value per response"),
        ({"prompt": "p", "tie_labels": ("tie",)}, "map the label column too"),
    ],
)
def test_a_mapping_that_cannot_be_meant_is_refused(mapping: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ColumnMapping(**mapping)


def test_a_mapped_column_that_is_missing_names_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(lines({"question": "q", "answer": "a"}))
    with pytest.raises(
        DataError, match=r"no column 'questions' \(did you mean 'question'\?\). The columns are: 'question', "
    ):
        load_prompts(path, columns=ColumnMapping(prompt="questions"))


def test_a_limit_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 1; got 0"):
        load_prompts(tmp_path, limit=0)


@given(content=st.binary(max_size=60) | st.text('[]{}":,prompt1 \n\\u').map(str.encode))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_raise_anything_else(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(content)
    try:
        assert load_prompts(path)
    except DataError as error:
        assert str(path) in str(error)  # noqa: PT017


@pytest.mark.parametrize("array", [False, True])
def test_reading_takes_memory_for_the_prompts_kept_only(array: bool, tmp_path: Path) -> None:
    path, one = tmp_path / "big", {"prompt": "the same question", "chosen": "a", "rejected": "b", "unused": "x" * 2000}
    rows = [json.dumps(one)] * 8000
    path.write_text("[" + ", ".join(rows) + "]" if array else "\n".join(rows))
    assert path.stat().st_size > 16_000_000
    tracemalloc.start()
    data = read_preferences(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(data.prompts), data.report.rows) == (1, 8000)
    assert peak < 2_000_000
