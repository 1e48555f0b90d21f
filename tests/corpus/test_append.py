"""What is appended is what is read: exactly, once, the first one published, whatever the text."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus import Corpus, CorpusReadError, CorpusWriteError, InvalidRecordError
from corpus.records import Finding, Message, Verdict
from corpus.schema import TABLES
from corpus.segments import publish_segment
from scripts.drills import samples

pytestmark = pytest.mark.ranges

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
FLOATS = st.floats(allow_nan=False)
INT64 = st.integers(-(2**63), 2**63 - 1)
FINDINGS = st.builds(
    samples.finding,
    finding_id=st.sampled_from("abcdef"),
    response=st.text(max_size=30),
    reference=st.none() | st.text(max_size=10),
    reward=FLOATS,
    margin=FLOATS,
    seed=INT64,
    prompt=st.lists(st.builds(Message, role=st.text(max_size=5), content=st.text(max_size=9)), max_size=3).map(tuple),
    attack_params=st.dictionaries(st.text(max_size=4), JSON, max_size=3),
    parent_ids=st.lists(st.text(max_size=4), max_size=2).map(tuple),
    created_at=st.datetimes(datetime(1, 1, 2), datetime(9999, 1, 1), timezones=st.just(UTC)),
)
STEPS = st.lists(st.just("compact") | st.lists(FINDINGS, min_size=1, max_size=4), max_size=6)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_the_corpus_is_the_first_of_each_id_in_order_of_publication(steps: list[str | list[Finding]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus(folder)
        expected: dict[str, Finding] = {}
        for step in steps:
            if isinstance(step, str):
                corpus.compact()
            else:
                corpus.append(*step)
                for finding in step:
                    expected.setdefault(finding.finding_id, finding)
            assert corpus.findings() == list(expected.values())


def test_every_kind_of_record_comes_back_equal(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "corpus")
    failed = samples.attempt(2, outcome="error", error=samples.HOSTILE, best_reward=None, queries_to_find=None)
    corpus.append(
        samples.finding(), samples.attempt(), failed, samples.prompt(), samples.scored_query(), samples.review()
    )
    assert corpus.findings() == [samples.finding()]
    assert corpus.attempts() == [samples.attempt(), failed]
    assert corpus.prompts() == [samples.prompt()]
    assert corpus.queries() == [samples.scored_query()]
    assert corpus.reviews() == [samples.review()]
    assert corpus.attempt_ids() == {"attempt-0", "attempt-2"}


def test_hostile_text_comes_back_exactly(tmp_path: Path) -> None:
    row = samples.finding(response=samples.HOSTILE, reference="=cmd|' /C calc'!A0")
    Corpus(tmp_path).append(row)
    assert Corpus(tmp_path).findings() == [row]


def test_a_verdict_without_a_value_keeps_its_nan(tmp_path: Path) -> None:
    nan = float("nan")
    verdict = Verdict(check="lm", verdict="abstain", value=nan, threshold=nan, calibration_id="c")
    Corpus(tmp_path).append(samples.finding(certificate=(verdict,)))
    assert str(Corpus(tmp_path).findings()[0].certificate) == str((verdict,))


def test_appending_again_changes_nothing(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    corpus.append(samples.finding(), samples.attempt())
    before = (corpus.findings(), corpus.attempts())
    corpus.append(samples.finding(), samples.attempt())
    assert (corpus.findings(), corpus.attempts()) == before


def test_the_first_one_published_wins_whatever_the_clock_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = Corpus(tmp_path)
    corpus.append(samples.finding(reward=1.0))
    monkeypatch.setattr(time, "time_ns", lambda: 1)
    corpus.append(samples.finding(reward=2.0))
    corpus.append(samples.finding(reward=3.0))
    assert [row.reward for row in corpus.findings()] == [1.0]


def test_an_empty_corpus_reads_as_empty(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "nowhere")
    assert (corpus.findings(), corpus.attempt_ids(), corpus.verify()) == ([], frozenset(), [])
    assert corpus.table("findings").schema.names == TABLES["findings"].schema.names
    assert not corpus.exists()
    assert not corpus.path.exists()


def test_a_file_is_no_corpus(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CorpusReadError, match="is a file"):
        Corpus(tmp_path / "file")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"response": "\ud800"}, r"Finding\.response is not valid Unicode: lone surrogate at position 0"),
        ({"prompt": (Message(role="user", content="\udfff"),)}, r"Finding\.prompt\[0\]\.content is not valid Unicode"),
        ({"attack_params": {"text": "\udc00"}}, r"Finding\.attack_params is not valid Unicode"),
        ({"attack_params": {"x": float("nan")}}, r"Finding\.attack_params is not JSON"),
        ({"response": None}, r"Finding\.response is None"),
        ({"response": b"bytes"}, r"Finding\.response is b'bytes' \(bytes\), expected a string"),
        ({"seed": 2**63}, r"Finding\.seed is .* expected an integer of 64 bits"),
        ({"seed": 1.5}, r"Finding\.seed is 1\.5"),
        ({"reward": "4"}, r"Finding\.reward is '4'"),
        ({"parent_ids": "abc"}, r"Finding\.parent_ids is 'abc' \(str\), expected a sequence"),
        ({"prompt": ({"role": "user"},)}, r"Finding\.prompt is .* expected a tuple of Message"),
        ({"created_at": datetime(2025, 1, 1)}, r"Finding\.created_at is .* expected a time with its zone"),
    ],
)
def test_what_cannot_be_stored_is_refused_when_added(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    corpus = Corpus(tmp_path)
    with corpus.writer() as writer:
        with pytest.raises(InvalidRecordError, match=message):
            writer.add(samples.attempt(), replace(samples.finding(), **changes))  # type: ignore[arg-type]
        writer.add(samples.attempt(1))
    assert corpus.attempt_ids() == {"attempt-1"}


def test_rows_are_published_when_there_are_enough(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    with corpus.writer(flush_rows=3, flush_seconds=3600) as writer:
        writer.add(samples.prompt(0), samples.prompt(1))
        assert corpus.prompts() == []
        writer.add(samples.prompt(2))
        assert len(corpus.prompts()) == 3


def test_rows_are_published_when_they_have_waited_long_enough(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    with corpus.writer(flush_rows=1000, flush_seconds=0.05) as writer:
        for number in range(2):
            writer.add(samples.prompt(number))
            deadline = time.monotonic() + 10
            while len(corpus.prompts()) <= number and time.monotonic() < deadline:
                time.sleep(0.01)
            assert len(corpus.prompts()) == number + 1


@pytest.mark.parametrize("reason", [KeyboardInterrupt, ValueError, SystemExit])
def test_whatever_ends_the_block_its_rows_are_published(tmp_path: Path, reason: type[BaseException]) -> None:
    corpus = Corpus(tmp_path)
    writer = corpus.writer()

    def work() -> None:
        with writer:
            writer.add(samples.attempt())
            raise reason

    with pytest.raises(reason):
        work()
    assert corpus.attempt_ids() == {"attempt-0"}
    with pytest.raises(CorpusWriteError, match="closed"):
        writer.add(samples.attempt())


def test_findings_are_published_before_their_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[str] = []

    def spy(folder: Path, table: object) -> Path:
        published.append(folder.name)
        return publish_segment(folder, table)

    monkeypatch.setattr(sys.modules["corpus.writer"], "publish_segment", spy)
    Corpus(tmp_path).append(samples.attempt(), samples.scored_query(), samples.finding(), samples.prompt())
    assert published == ["prompts", "queries", "findings", "attempts"]


def test_a_flush_that_fails_keeps_its_rows(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "corpus")
    writer = corpus.writer()
    writer.add(samples.finding())
    (tmp_path / "corpus").touch()
    with pytest.raises(CorpusWriteError, match="cannot write in"):
        writer.flush()
    (tmp_path / "corpus").unlink()
    writer.close()
    assert corpus.findings() == [samples.finding()]
