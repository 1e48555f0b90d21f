"""The reliability drills at a size for every day; scripts/bench_corpus runs them in full."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.drills import durability


def test_no_flipped_bit_is_read_silently(tmp_path: Path) -> None:
    result = durability.bit_flips(tmp_path / "corpus", n=200, seed=7)
    assert result.detected == result.n == 200


def test_page_checksums_alone_would_not_do(tmp_path: Path) -> None:
    result = durability.bit_flips_by_page_checksums_alone(tmp_path / "corpus", n=200, seed=7)
    assert result.detected < result.n


@pytest.mark.parametrize("hard_links", [True, False])
def test_a_killed_writer_loses_nothing_acknowledged_and_leaves_nothing_torn(tmp_path: Path, hard_links: bool) -> None:
    result = durability.kills(tmp_path / "corpus", n=8, seed=3, hard_links=hard_links)
    assert result.acknowledged_rows > 0
    assert (result.lost_rows, result.damaged_segments, result.found_without_finding) == (0, 0, 0)


def test_writers_a_compactor_and_a_reader_do_not_disturb_each_other(tmp_path: Path) -> None:
    result = durability.crowd(tmp_path / "corpus", writers=4, flushes=20)
    assert result.rows_written == 4 * 20 * 5
    assert (result.rows_lost, result.rows_wrong, result.inconsistent_reads) == (0, 0, 0)
    assert result.compactions > 0
    assert result.different_views > 1


@pytest.mark.skipif(not durability.can_mount(), reason="this machine does not let us mount (unshare -rm)")
def test_a_full_disk_is_reported_and_costs_nothing_acknowledged(tmp_path: Path) -> None:
    result = durability.full_disk(tmp_path / "disk")
    assert "disk full" in result.refused_with
    assert result.acknowledged_rows > 3
    assert (result.lost_rows, result.temporary_files_left, result.damaged_segments) == (0, 0, 0)
    assert result.kept_rows_published_after_freeing
