"""Files and folders that several processes write and read at once."""

from __future__ import annotations

import errno
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus.durable import TEMPORARY_PREFIX
from miner.errors import DataError
from miner.files import read_rows, replace_bytes, replace_table, replace_text
from tests.file_hammer import ended, is_whole, two_at_once


def test_two_processes_replace_one_file_and_every_reader_sees_one_of_them_whole(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    writers, reads = two_at_once("replace", path, 500), 0
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            whole = is_whole(path.read_text(encoding="utf-8"))
            assert whole
            reads += 1
    ended(writers)
    assert reads > 5
    assert [entry.name for entry in tmp_path.iterdir()] == ["summary.json"]


def test_of_two_processes_that_publish_a_folder_the_first_wins_and_the_other_goes_on(tmp_path: Path) -> None:
    n_own = [int(answer) for answer in ended(two_at_once("publish", tmp_path, 150))]
    assert sum(n_own) == 150
    assert sorted(int(folder.name) for folder in tmp_path.iterdir()) == list(range(150))
    makers = [[file.read_text() for file in folder.iterdir()] for folder in tmp_path.iterdir()]
    assert all(len(made) == 3 and len(set(made)) == 1 for made in makers)


def test_a_failed_replacement_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = replace_text(tmp_path / "made" / "a.txt", "old")

    def refused(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", refused)
    with pytest.raises(OSError, match="full"):
        replace_text(path, "new")
    assert {entry.name: entry.read_text() for entry in path.parent.iterdir()} == {"a.txt": "old"}


def test_what_says_so_already_is_not_written(tmp_path: Path) -> None:
    path = replace_text(tmp_path / "a.txt", "same")
    before = path.stat()
    replace_text(path, "same")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    replace_text(path, "other")
    assert path.read_text() == "other"


def test_text_is_written_as_it_is_on_every_system(tmp_path: Path) -> None:
    assert replace_text(tmp_path / "a.txt", "é\r\n\n").read_bytes() == b"\xc3\xa9\r\n\n"


def test_what_a_killed_writer_left_is_removed_after_an_hour(tmp_path: Path) -> None:
    young, old = (tmp_path / f"{TEMPORARY_PREFIX}{name}" for name in ("young", "old"))
    for path in (young, old):
        path.touch()
    os.utime(old, (time.time() - 7200,) * 2)
    replace_bytes(tmp_path / "a", b"1")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [young.name, "a"]


def test_a_table_comes_back_with_its_metadata_and_checksums(tmp_path: Path) -> None:
    table = pa.table({"x": [1, 2]}).replace_schema_metadata({"key": "k"})
    path = replace_table(tmp_path / "t.parquet", table)
    assert pq.read_table(path, page_checksum_verification=True).equals(table, check_metadata=True)


@dataclass(frozen=True)
class Fruit:
    name: str
    grams: float


def test_rows_are_read_in_order_and_empty_lines_left_out(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(
        '{"name": "fig\u2028s", "grams": 3}\n\n{"name": "pear", "grams": 4.5, "more": 1}\n', encoding="utf-8"
    )
    assert read_rows(path, Fruit, "fruit") == [Fruit("fig\u2028s", 3.0), Fruit("pear", 4.5)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"name": "fig", "grams": 3}\n{"name": "pear"}\n', "line 2: expected fruit; grams: Field required"),
        (b'{"name": "fig", "grams": "heavy"}\n', "line 1: expected fruit; grams: "),
        (b"fig\n", "line 1: expected fruit; Invalid JSON"),
        (b"\xff\n", "cannot read .* Expected JSONL, one fruit a line"),
        (None, "cannot read"),
    ],
)
def test_rows_that_are_none_are_named_in_one_line(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "rows.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_rows(path, Fruit, "fruit")
    assert "\n" not in str(caught.value)
