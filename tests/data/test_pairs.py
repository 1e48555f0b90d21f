"""Rows read side by side are read as each would be alone, and any damage to a line leaves it to be read alone."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import csv

from miner.data import RowRules, read_preferences
from miner.data.pairs import PairColumns, Pairs, parsed_lines, parts_of
from miner.data.prompts import Prompts
from miner.data.responses import Reading
from miner.data.sources import open_source
from miner.errors import DataError
from tests.data.damaged import KINDS, ODD, damaged_rows, encoded, stored

EXAMPLES = int(os.environ.get("RMMINER_FUZZ_EXAMPLES", "200"))
PLAIN = st.sampled_from(["why", "why not", "why because", "because", "é"])
PECULIAR = [
    "Because.\n", " space", "\u3000", '\u3000{"text": "t"}', '{"text": "t"}', '["t"]', "[1, 2", "a:", '"a\\nb"', "“so”",
    "", " ", "\n\nHuman: a\n\nAssistant:", "Human: a\n\nAssistant:", "Human: a\n\nAssistant:\u3000", "\ufeffmark",
    "\x00", "\x85", "\ud800", None, 3,
]  # fmt: skip


@st.composite
def pair_texts(draw: st.DrawFn) -> Any:
    return draw(st.sampled_from(PECULIAR) if draw(st.integers(0, 7)) == 0 else PLAIN)


@st.composite
def pair_rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows of pairs, most of them plain, some with odd cells, further columns, or none of these."""
    rows = []
    for _ in range(draw(st.integers(1, 12))):
        row: dict[str, Any] = {name: draw(pair_texts()) for name in ("prompt", "chosen", "rejected")}
        if draw(st.integers(0, 5)) == 0:
            row[draw(st.sampled_from((*row, "id", "meta", "images")))] = draw(
                st.sampled_from(ODD) | st.floats() | st.integers()
            )
        rows.append(row)
    return rows


def outcome(path: Path, max_left_out: float, limit: int | None) -> tuple[Any, ...]:
    try:
        read = read_preferences(path, rules=RowRules(max_left_out=max_left_out), limit=limit)
    except DataError as error:
        return (str(error),)
    return list(read.prompts), read.report


def read_alone(path: Path, max_left_out: float, limit: int | None) -> tuple[Any, ...]:
    """``outcome`` with nothing read side by side, and no short way for plain rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reading, "pair", None)
        patch.setattr("miner.data.messages.is_plain", lambda value: False)  # noqa: ARG005
        return outcome(path, max_left_out, limit)


@pytest.mark.parametrize("column", ["prompt", "chosen", "rejected"])
@pytest.mark.parametrize("text", PECULIAR, ids=ascii)
def test_a_peculiar_text_among_plain_rows_is_read_as_it_is_alone(text: Any, column: str, tmp_path: Path) -> None:
    rows = [{"prompt": f"why {n}", "chosen": "so", "rejected": "no"} for n in range(6)]
    rows[4][column] = text
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert outcome(path, 1.0, None) == read_alone(path, 1.0, None)


@given(
    rows=pair_rows() | damaged_rows(),
    kind=st.sampled_from(("lines", *KINDS, "parquet")),
    max_left_out=st.sampled_from((0.05, 1.0, 1.0)),
    limit=st.sampled_from((None, None, 1, 3)),
    cut=st.sampled_from((None, None, None, 60, 150, 400)),
)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_both_ways_of_reading_give_the_same(
    rows: list[Any], kind: str, max_left_out: float, limit: int | None, cut: int | None
) -> None:
    content = encoded(rows, kind)[:cut]
    with tempfile.TemporaryDirectory() as folder:
        path = stored(Path(folder), content, kind)
        assert outcome(path, max_left_out, limit) == read_alone(path, max_left_out, limit)


OBJECTS = st.sampled_from(
    [
        '{"prompt": "q", "chosen": "a"}',
        '{"prompt":\n"q"}',
        '{"prompt":"\\u00e9","id":-1.5e3,"meta":null}',
        '{"prompt": "\\ud800"}',
        '{"id": 1, "id": 2}',
        '{"id": Inf}',
        '{"id": NaN}',
        '{"id": 1e400}',
        '{"id": ' + "1" * 5000 + "}",
        '{"id": ' + "[" * 3000 + "]" * 3000 + "}",
        '{"id": [1]}',
    ]
)
BETWEEN = st.sampled_from(["\n", "\n", "\n", " ", "", "\n\n", "\r\n", " \n", "\n "])
PIECES = st.sampled_from(
    [b"}", b"{", b'"', b"\\", b"\n", b"1", b"01", b"\xff", b"\x00", b',"prompt":"x"', b"/**/", b","]
)


@given(objects=st.lists(st.tuples(OBJECTS, BETWEEN), min_size=1, max_size=4), data=st.data())
@settings(max_examples=5 * EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_lines_are_parsed_side_by_side_only_as_the_standard_library_parses_them(
    objects: list[tuple[str, str]], data: st.DataObject
) -> None:
    content = "".join(map("".join, objects)).encode()
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(content)))
        content = content[:at] + data.draw(PIECES) + content[at + data.draw(st.integers(0, 1)) :]
    lines = list(io.BytesIO(content))
    names = ("prompt", "chosen", "rejected")
    table = parsed_lines(content, len(lines), PairColumns(names, ()))
    if table is None:
        return
    expected = [json.loads(line) for line in lines]
    assert set(table.column_names) == {*names, *(name for row in expected for name in row)}
    for name in names:
        assert table.column(name).to_pylist() == [row.get(name) for row in expected]


Write = Callable[[pa.Table, Path], None]


def lines_of(table: pa.Table, path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))


def parquet_of(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path)


def csv_of(table: pa.Table, path: Path) -> None:
    csv.write_csv(table, path)


@pytest.mark.parametrize(("name", "write"), [("a.jsonl", lines_of), ("a.parquet", parquet_of), ("a.csv", csv_of)])
def test_plain_rows_of_a_file_come_side_by_side(
    name: str, write: Callable[[pa.Table, Path], None], tmp_path: Path
) -> None:
    rows = [{"prompt": f"why {n}", "chosen": "so", "rejected": "no"} for n in range(300)]
    write(pa.Table.from_pylist(rows), tmp_path / name)
    names = ("prompt", "chosen", "rejected")
    found = list(open_source(tmp_path / name, "train").rows(None, PairColumns(names, names)))
    assert {type(one) for one in found} == {Pairs}
    assert sum(len(one) for one in found if isinstance(one, Pairs)) == 300


@pytest.mark.parametrize("every", [2, 10])
def test_rows_that_are_plain_now_and_then_fill_no_batch_each(every: int, tmp_path: Path) -> None:
    end = {True: "so.\n", False: "so."}
    rows = [{"prompt": f"why {n}", "chosen": end[n % every == 0], "rejected": "no"} for n in range(4000)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    prompts = read_preferences(path).prompts
    assert isinstance(prompts, Prompts)
    assert len(prompts.gathered.store.batches) < 40
    assert [prompt.reference for prompt in prompts] == [row["chosen"] for row in rows]


def test_a_plain_file_is_read_side_by_side() -> None:
    texts = {"prompt": ["why", "how"], "chosen": ["so", "thus"], "rejected": ["no", "never"]}
    wanted = PairColumns(("prompt", "chosen", "rejected"), texts)
    batch = pa.RecordBatch.from_pydict(texts)
    [(begin, end, pairs)] = parts_of(batch, wanted)
    assert (begin, end) == (0, 2)
    assert pairs is not None
    assert pairs.rejected.to_pylist() == ["no", "never"]
    assert [plain for *_, plain in parts_of(batch, replace(wanted, known=("prompt", "chosen")))] == [None]
