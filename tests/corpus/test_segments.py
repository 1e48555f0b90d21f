"""Compaction, verification, schema versions: what happens to files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus import Corpus, CorpusReadError, DamagedSegmentError, SchemaVersionError, scan, segments
from corpus.durable import publish_bytes
from corpus.records import SCHEMA_VERSION
from corpus.schema import TABLES, VERSION_KEY
from scripts.drills import samples

GOLDEN = sorted((Path(__file__).parent / "golden").iterdir())


def _corpus(folder: Path, segments: int = 4) -> Corpus:
    corpus = Corpus(folder)
    for number in range(segments):
        corpus.append(samples.finding(number), samples.attempt(number))
    return corpus


def _files(corpus: Corpus, table: str = "findings") -> list[Path]:
    return sorted((corpus.path / table).iterdir())


def _publish_raw(folder: Path, table: pa.Table, version: int = SCHEMA_VERSION) -> None:
    """A segment as another rmminer would have written it."""
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({VERSION_KEY: str(version)}), sink)
    publish_bytes(folder, f"{1:020d}-{segments._digest(sink.getvalue().to_pybytes())}.parquet", sink.getvalue())


def test_compaction_merges_and_changes_nothing_else(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path)
    before = (corpus.findings(), corpus.attempts())
    report = corpus.compact()
    assert (report.segments_before, report.segments_after) == (8, 2)
    assert report.bytes_after < report.bytes_before
    assert (corpus.findings(), corpus.attempts()) == before
    assert all(report.ok for report in corpus.verify())


def test_compacting_again_changes_nothing(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path)
    corpus.compact()
    files = _files(corpus)
    report = corpus.compact()
    assert (report.segments_before, report.segments_after) == (2, 2)
    assert _files(corpus) == files


def test_large_segments_are_left_alone(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path)
    files = _files(corpus)
    corpus.compact(target_bytes=files[0].stat().st_size)
    assert _files(corpus) == files


def test_a_row_keeps_its_precedence_through_a_merge(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    corpus.append(samples.finding(reward=1.0))
    corpus.append(samples.finding(1))
    late = Corpus(tmp_path / "late")
    late.append(samples.finding(reward=2.0))
    corpus.compact()
    # published after the first row, but named before the merged segment that now holds it
    name = _files(late)[0].name
    merged_ns = segments.published_ns(_files(corpus)[0].name)
    shutil.copy(_files(late)[0], corpus.path / "findings" / f"{merged_ns - 1:020d}{name[20:]}")
    assert [row.reward for row in corpus.findings()] == [1.0, samples.finding(1).reward]
    corpus.compact()
    assert [row.reward for row in corpus.findings()] == [1.0, samples.finding(1).reward]


def test_a_compaction_killed_before_it_deleted_costs_nothing(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path)
    before, sources = corpus.findings(), {path: path.read_bytes() for path in _files(corpus)}
    corpus.compact()
    for path, content in sources.items():
        path.write_bytes(content)
    assert corpus.findings() == before
    corpus.compact()
    assert corpus.findings() == before
    assert len(_files(corpus)) == 1


def test_two_compactors_with_the_same_sources_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = _corpus(tmp_path)
    before = corpus.findings()
    read = segments.read_segment
    racing = [True]

    def read_while_another_compacts(*arguments: Any) -> pa.Table:
        table = read(*arguments)
        if racing.pop() if racing else False:
            Corpus(tmp_path).compact()
        return table

    monkeypatch.setattr(sys.modules["corpus.compaction"], "read_segment", read_while_another_compacts)
    corpus.compact()
    assert corpus.findings() == before


def test_a_reader_starts_over_when_a_segment_vanishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = _corpus(tmp_path)
    before = corpus.table("findings")
    read = segments.read_segment
    reads: list[Path] = []

    def read_while_another_compacts(path: Path, *arguments: Any) -> pa.Table:
        reads.append(path)
        if len(reads) == 2:
            Corpus(tmp_path).compact()
        return read(path, *arguments)

    monkeypatch.setattr(scan, "read_segment", read_while_another_compacts)
    assert corpus.table("findings") == before
    assert len(reads) == 3


def test_a_listing_that_missed_a_merge_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listings = iter([["a", "b"], ["a"], ["a", "merged"], ["merged"], ["merged"]])
    monkeypatch.setattr(scan, "segment_names", lambda _: next(listings))
    assert scan.stable_listing(tmp_path) == ["a", "merged"]


def test_endless_vanishing_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = iter(range(10**6))
    monkeypatch.setattr(scan, "segment_names", lambda _: [str(next(counter))])
    monkeypatch.setattr(scan, "_PAUSE_S", 0)
    with pytest.raises(CorpusReadError, match="vanish"):
        scan.stable_listing(tmp_path)


def test_old_temporaries_are_ignored_then_removed_and_young_ones_kept(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path, segments=1)
    young, old = (tmp_path / "findings" / f".tmp-{name}" for name in ("young", "old"))
    for path in (young, old):
        path.write_bytes(b"torn")
    os.utime(old, (time.time() - 7200,) * 2)
    assert len(corpus.findings()) == 1
    assert all(report.ok for report in corpus.verify())
    assert corpus.compact().stale_files_removed == 1
    assert young.exists()
    assert not old.exists()


@pytest.mark.parametrize("damage", ["truncated", "empty", "appended", "renamed"])
def test_a_damaged_segment_is_named_and_can_be_set_aside(tmp_path: Path, damage: str) -> None:
    corpus = _corpus(tmp_path)
    victim = _files(corpus)[1]
    content = victim.read_bytes()
    if damage == "renamed":
        victim = victim.rename(victim.with_name("mine.parquet"))
    else:
        victim.write_bytes({"truncated": content[:-1], "empty": b"", "appended": content + b"x"}[damage])
    with pytest.raises(DamagedSegmentError, match=rf"{victim.name}.*rmminer corpus verify --quarantine"):
        corpus.findings()
    with pytest.raises(DamagedSegmentError):
        corpus.compact()
    bad = [report for report in corpus.verify() if not report.ok]
    assert [(report.path, report.state, report.rows) for report in bad] == [(victim, "damaged", None)]
    (moved,) = corpus.quarantine()
    assert moved == tmp_path / "damaged" / "findings" / victim.name
    assert len(corpus.findings()) == 3
    assert corpus.quarantine() == []


def test_nothing_is_ever_overwritten_when_set_aside(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    for content in (b"one", b"two"):
        (tmp_path / "findings").mkdir(exist_ok=True)
        (tmp_path / "findings" / "x.parquet").write_bytes(content)
        corpus.quarantine()
    assert {path.read_bytes() for path in (tmp_path / "damaged" / "findings").iterdir()} == {b"one", b"two"}


def test_a_newer_schema_is_refused_and_not_taken_for_damage(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path)
    _publish_raw(tmp_path / "findings", corpus.table("findings"), version=SCHEMA_VERSION + 1)
    with pytest.raises(SchemaVersionError, match=f"schema version {SCHEMA_VERSION + 1}.*pip install -U rmminer"):
        corpus.findings()
    assert [report.state for report in corpus.verify()].count("newer_schema") == 1
    assert corpus.quarantine() == []
    assert len(corpus.attempts()) == 4


def test_a_column_that_an_older_rmminer_did_not_know_reads_as_null(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    corpus.append(samples.attempt(1))
    table = corpus.table("attempts").drop_columns(["best_reward"]).append_column("unknown", pa.array([1]))
    shutil.rmtree(tmp_path / "attempts")
    _publish_raw(tmp_path / "attempts", table)
    corpus.append(samples.attempt(2))
    assert [row.best_reward for row in corpus.attempts()] == [None, samples.attempt(2).best_reward]
    assert corpus.table("attempts").schema.names == TABLES["attempts"].schema.names


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.name)
def test_every_schema_version_ever_published_is_read(golden: Path) -> None:
    corpus = Corpus(golden)
    expected = json.loads((golden / "expected.json").read_text(encoding="utf-8"))
    assert all(report.ok for report in corpus.verify())
    for table, rows in expected.items():
        got = [{key: _plain(row[key]) for key in rows[0]} for row in corpus.table(table).to_pylist()]
        assert got == rows
    assert corpus.findings()
    assert corpus.attempts()
    assert corpus.prompts()
    assert corpus.queries()


def test_there_is_a_golden_file_for_this_schema_version() -> None:
    assert f"v{SCHEMA_VERSION}" in [path.name for path in GOLDEN]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def test_importing_the_records_imports_no_library() -> None:
    program = "import sys, corpus, corpus.records; print({'pyarrow', 'duckdb', 'datasets', 'rensa'} & {*sys.modules})"
    environment = {**os.environ, "PYTHONPATH": str(Path(segments.__file__).parents[1])}
    shown = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, env=environment).stdout
    assert shown == b"set()\n"
