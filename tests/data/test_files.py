"""The same rows out of every kind of file; what is not read is called what it is."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from miner.data import ColumnMapping, read_preferences
from miner.errors import DataError
from tests.data.compressed import zst
from tests.data.loaded import load_prompts

ROWS = [{"prompt": f"ask {n},\n“{n}”", "chosen": f"yes {n}\u2028", "rejected": f"no {n}"} for n in range(60)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def zipped(*files: tuple[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, content in files:
            archive.writestr(name, content)
    return held.getvalue()


def table_text(delimiter: str) -> bytes:
    held = io.StringIO(newline="")
    writer = csv.DictWriter(held, list(ROWS[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(ROWS)
    return held.getvalue().encode()


def parquet() -> bytes:
    held = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), held)
    return held.getvalue()


def called_twice(write: Callable[[pa.Table, io.BytesIO], Any]) -> bytes:
    held = io.BytesIO()
    write(pa.table([["q"], ["good"], ["bad"], ["other"]], names=["prompt", "chosen", "rejected", "chosen"]), held)
    return held.getvalue()


def stream_of(table: pa.Table, held: io.BytesIO) -> None:
    with pa.ipc.new_stream(held, table.schema) as writer:
        writer.write_table(table)


def arrow(opener: Callable[..., Any]) -> bytes:
    held, table = io.BytesIO(), pa.Table.from_pylist(ROWS)
    with opener(held, table.schema) as writer:
        writer.write_table(table)
    return held.getvalue()


COLUMNS = {name: [row[name] for row in ROWS] for name in ROWS[0]}
READ: list[tuple[str, bytes]] = [
    ("a.jsonl.gz", gzip.compress(LINES)),
    ("a.jsonl.bz2", bz2.compress(LINES)),
    ("a.jsonl.xz", lzma.compress(LINES)),
    ("a.jsonl.zst", zst(LINES)),
    ("two.jsonl.zst", zst(LINES[: len(LINES) // 2]) + zst(LINES[len(LINES) // 2 :])),
    ("a.zip", zipped(("__MACOSX/a.jsonl", b"?"), ("a.jsonl", LINES))),
    ("shards.zip", zipped(("README.md", b"#"), ("d/0.jsonl", LINES[: LINES.index(b"\n", 900) + 1]),
                          ("d/1.jsonl", LINES[LINES.index(b"\n", 900) + 1 :]))),
    ("packed.parquet.gz", gzip.compress(parquet())),
    ("parquet.zip", zipped(("a.parquet", parquet()))),
    ("a.parquet", parquet()),
    ("a.arrow", arrow(pa.ipc.new_stream)),
    ("b.arrow", arrow(pa.ipc.new_file)),
    ("a.csv", table_text(",")),
    ("a.tsv", table_text("\t")),
    ("b.csv", b"\xef\xbb\xbf" + table_text(";")),
    ("a.csv.gz", gzip.compress(table_text(","))),
    ("no_suffix", table_text(",")),
    ("utf16.csv", table_text(",").decode().encode("utf-16")),
    ("bom.jsonl", b"\xef\xbb\xbf" + LINES),
    *((f"{name}.jsonl", LINES.decode().encode(name)) for name in ("utf-16", "utf-32")),
    *((f"{name}.jsonl", LINES.decode().encode(name)) for name in ("utf-16-le", "utf-16-be")),
    ("array-utf-16.json", json.dumps(ROWS, ensure_ascii=False).encode("utf-16")),
    ("wrapped.json", json.dumps({"version": 1, "data": ROWS}).encode()),
    ("pretty.json", json.dumps({"about": [{"by": "us"}], "examples": ROWS}, indent=1).encode()),
    ("split.json", json.dumps({"test": [{"prompt": "not this"}], "train": ROWS}).encode()),
    ("viewer.json", json.dumps({"features": [{"name": "prompt"}],
                                "rows": [{"row_idx": n, "row": row} for n, row in enumerate(ROWS)]}).encode()),
    ("columns.json", json.dumps(COLUMNS).encode()),
    ("pandas.json", json.dumps({name: {str(n): cell for n, cell in enumerate(cells)}
                                for name, cells in COLUMNS.items()}).encode()),
    ("index.json", json.dumps({str(n): row for n, row in enumerate(ROWS)}).encode()),
    ("table.json", json.dumps({"columns": list(COLUMNS), "index": [],
                               "data": [list(row.values()) for row in ROWS]}).encode()),
    ("exported.json", json.dumps({"version": 3, "author": {"name": "us"}, "preferences": ROWS}).encode()),
    ("splits.zip", zipped(("d/test.jsonl", LINES[: LINES.index(b"\n") + 1].replace(b"ask", b"keep")),
                          ("d/train.jsonl", LINES))),
    ("stream.jsonl", "\n".join(json.dumps(row, indent=2) for row in ROWS).encode()),
]  # fmt: skip

REFUSED: list[tuple[str, bytes, str]] = [
    ("a.db", b"SQLite format 3\x00", "this is an SQLite database; write the table out"),
    ("a.pkl", b"\x80\x04\x95", "this is a Python pickle; it is not opened"),
    ("a.xlsx", zipped(("[Content_Types].xml", b"<x/>")), "Office document .a workbook.*; save the sheet as CSV"),
    ("a.pt", zipped(("archive/data.pkl", b"x")), "this is a PyTorch file"),
    ("a.jsonl", b"version https://git-lfs.github.com/spec/v1\n", "this is a Git LFS pointer, .*: git lfs pull"),
    ("b.jsonl", b"<!DOCTYPE html><html>", "this is a web page; download the file itself"),
    ("a.tar", b"x" * 257 + b"ustar\x00", "this is a tar archive; unpack it"),
    ("a.7z", b"7z\xbc\xaf\x27\x1c", "this is a 7z archive"),
    ("a.bin", b"\x00\x01\x02\x03\xff\xfe\x99" * 9, "not text, nor a binary file of a known kind"),
    ("a.txt", b"Once upon a time.\n", "neither JSON nor CSV with a header: it begins 'Once upon"),
    ("nothing.zip", zipped(("notes.txt", b"x")), "no data file in this zip archive; it holds notes.txt"),
    ("torn.zip", zipped(("a.jsonl", LINES))[:-40], "not a readable zip archive"),
    *((f"torn.{name}", pack(LINES)[:-20], "torn or corrupt")
      for name, pack in (("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress), ("zst", zst))),
    ("torn.arrow", arrow(pa.ipc.new_stream)[:200], "not a readable Arrow stream|torn or corrupt"),
    ("double.csv", b"prompt,chosen,rejected,chosen\nq,good,bad,other\n", "2 columns are called 'chosen'; rename"),
    ("double.parquet", called_twice(pq.write_table), "2 columns are called 'chosen'"),
    ("double.arrow", called_twice(stream_of), "2 columns are called 'chosen'"),
    ("latin.jsonl", LINES.replace("“".encode(), b"\x93"), "not valid UTF-8.*iconv -f WINDOWS-1252 -t UTF-8"),
    ("latin.json", json.dumps(ROWS, ensure_ascii=False).encode().replace("“".encode(), b"\x93"), "iconv -f"),
    ("latin.csv", table_text(",").replace("“".encode(), b"\x93"), "iconv -f WINDOWS-1252"),
    ("tests.zip", zipped(("a/test.jsonl", LINES), ("a/dev.jsonl", LINES)), "no split 'train'; it has 'validation"),
    ("cut.jsonl", LINES[:-9], "line 60: not valid JSON.* last line and has no end: is the file cut short"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content"), READ, ids=[one[0] for one in READ])
def test_the_rows_are_those_of_plain_lines(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "plain.jsonl").write_bytes(LINES)
    (tmp_path / name).write_bytes(content)
    assert load_prompts(tmp_path / name) == load_prompts(tmp_path / "plain.jsonl")


@pytest.mark.parametrize(("name", "content", "message"), REFUSED, ids=[one[0] for one in REFUSED])
def test_what_is_not_read_is_called_what_it_is(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_prompts(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_folder_of_shards_is_one_data_set_and_other_splits_stay_out(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for n in range(3):
        pq.write_table(
            pa.Table.from_pylist(ROWS[20 * n : 20 * n + 20]), tmp_path / f"data/train-{n:05}-of-00003.parquet"
        )
    pq.write_table(
        pa.Table.from_pylist([{**ROWS[0], "prompt": "other"}]), tmp_path / "data/test-00000-of-00001.parquet"
    )
    (tmp_path / "README.md").write_text("# card")
    (tmp_path / "data/_SUCCESS").write_text("")
    (tmp_path / "data/.part-0.crc").write_bytes(b"\x00")
    read = read_preferences(tmp_path)
    assert (len(read.prompts), read.report.rows) == (60, 60)
    assert len(read_preferences(tmp_path, hub_split="test").prompts) == 1
    with pytest.raises(DataError, match="no split 'validation'; it has 'train', 'test'"):
        read_preferences(tmp_path, hub_split="validation")


def test_shards_without_a_split_in_their_names_are_all_read(tmp_path: Path) -> None:
    for n in range(2):
        (tmp_path / f"part-{n}.jsonl").write_bytes(b"".join(LINES.splitlines(True)[30 * n : 30 * n + 30]))
    assert len(read_preferences(tmp_path).prompts) == 60


def test_a_csv_file_may_end_its_lines_as_old_macs_did(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_bytes(b"prompt,chosen,rejected\rWhat?,This.,That.\rWhy?,Because.,No.\r")
    assert [prompt.reference for prompt in read_preferences(path).prompts] == ["This.", "Because."]


def test_rows_of_a_csv_file_with_too_many_cells_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"prompt,chosen,rejected\n" + b"".join(b"q%d,a,b\n" % n for n in range(40)) + b"q,a,b,c\n")
    read = read_preferences(path)
    assert (len(read.prompts), read.report.skipped) == (40, {"not a row at all": 1})


def test_two_columns_without_a_name_are_nobodys_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b",,prompt,chosen,rejected\n0,0,q,good,bad\n")
    assert load_prompts(path)[0].reference == "good"


def test_the_answers_of_one_row_are_no_rows(tmp_path: Path) -> None:
    row = {"prompt": "q", "candidates": [{"completion": "good", "score": 2}, {"completion": "bad", "score": 1}]}
    (tmp_path / "one.json").write_text(json.dumps(row))
    mapping = ColumnMapping(prompt="prompt", answers="candidates", score="score")
    assert load_prompts(tmp_path / "one.json", columns=mapping)[0].rejected == ("bad",)


def test_maps_of_spark_are_turns(tmp_path: Path) -> None:
    turn = pa.map_(pa.string(), pa.string())
    chosen = [[[("role", "user"), ("content", "q")], [("role", "assistant"), ("content", "a")]]]
    pq.write_table(pa.table({"chosen": pa.array(chosen, pa.list_(turn))}), tmp_path / "a.parquet")
    assert load_prompts(tmp_path / "a.parquet")[0].reference == "a"
