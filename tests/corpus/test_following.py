"""Following a table as it grows: everything once, no segment opened twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpus import Corpus, DamagedSegmentError
from corpus.records import Attempt, Finding
from scripts.drills import samples


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[Path]:
    """How often each file was read."""
    counts: Counter[Path] = Counter()
    read_bytes = Path.read_bytes

    def counted(path: Path) -> bytes:
        counts[path] += 1
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    return counts


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(["append", "again", "compact", "news"]), min_size=1, max_size=12))
def test_every_record_comes_once_whoever_appends_and_compacts(
    steps: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    corpus = Corpus(tmp_path_factory.mktemp("corpus"))
    following, seen, added = corpus.follow(Attempt), [], 0
    for step in [*steps, "append", "news"]:
        if step == "append":
            corpus.append(samples.attempt(added), samples.attempt(added + 1))
            added += 2
        elif step == "again" and added:
            corpus.append(samples.attempt(added - 1))
        elif step == "compact":
            corpus.compact()
        elif step == "news":
            seen += following.news()
    assert len(seen) == added
    assert seen == corpus.attempts()
    assert following.news() == []


def test_a_segment_is_opened_once_however_often_one_asks(tmp_path: Path, opened: Counter[Path]) -> None:
    corpus = Corpus(tmp_path)
    following = corpus.follow(Finding)
    assert following.news() == []
    for number in range(10):
        corpus.append(samples.finding(number))
        assert following.news() == [samples.finding(number)]
    assert len(opened) == 10
    assert set(opened.values()) == {1}


def test_what_a_damaged_segment_kept_back_comes_once_it_is_whole(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    following = corpus.follow(Finding)
    corpus.append(samples.finding(0))
    assert len(following.news()) == 1
    for number in (1, 2):
        corpus.append(samples.finding(number))
    victim = max((tmp_path / "findings").iterdir())
    content = victim.read_bytes()
    victim.write_bytes(content[:-1])
    with pytest.raises(DamagedSegmentError, match=victim.name):
        following.news()
    victim.write_bytes(content)
    assert following.news() == [samples.finding(1), samples.finding(2)]
