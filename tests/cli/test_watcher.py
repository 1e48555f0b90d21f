"""What a watcher says of stages, to a file and to a terminal; lines come every few hundredths of a second here."""

from __future__ import annotations

import io
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from corpus.records import Finding, Message
from miner.cli.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Iterator

EVERY_S = 0.05


@pytest.fixture
def finding() -> Finding:
    return Finding(
        finding_id="f", attempt_id="a", campaign_id="c", round=0, prompt_id="p", split="train",
        prompt=(Message(role="user", content="What does `len` do?"),), response="the the the", reference="Its length.",
        reward=4.5, reward_dtype="float32", reference_reward=1.25, margin=2.5, threshold=3.75, threshold_quantile=0.95,
        attack="corrupt", family="structural", form="repetition", kind="nonsense", attack_params={}, code_version="1",
        seed=0, queries=17, rm_fingerprint="rm", pipeline_hash="pipe", certificate=(), parent_ids=(),
        created_at=datetime(2025, 1, 2, tzinfo=UTC),
    )  # fmt: skip


def to_a_file(**options: object) -> tuple[Watcher, io.StringIO]:
    file = io.StringIO()
    console = Console(file=file, highlight=False, soft_wrap=True)
    return Watcher(console=console, every_s=EVERY_S, **options), file  # type: ignore[arg-type]


def lines(file: io.StringIO) -> list[str]:
    return [line.partition("] ")[2] for line in file.getvalue().splitlines()]


@contextmanager
def no_thread_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def waited_for(file: io.StringIO, text: str) -> None:
    deadline = time.monotonic() + 20
    while text not in file.getvalue():
        assert time.monotonic() < deadline, file.getvalue()
        time.sleep(0.01)


def test_a_stage_that_says_nothing_is_told_of_all_the_same() -> None:
    watcher, file = to_a_file()
    with no_thread_left(), watcher.stage("thinking"):
        waited_for(file, "at work")
        time.sleep(10 * EVERY_S)
    first, *between, last = lines(file)
    assert (first, last[:15]) == ("thinking: begins", "thinking: done,")
    assert 3 <= len(between) <= 30, "at least every so often, and not all the time"
    assert all(re.fullmatch(r"thinking: at work, 0:0\d so far", line) for line in between)


def test_a_stage_that_says_how_far_it_is_is_told_with_the_time_left() -> None:
    watcher, file = to_a_file()
    with watcher.stage("counting") as advance:
        advance(90, 100)  # done before: says nothing of the speed
        waited_for(file, "90 of 100, 0:00 so far\n")
        advance(91, 100)
        waited_for(file, "91 of 100, 0:00 so far, 0:0")
    assert re.search(r"counting: 91 of 100, 0:00 so far, 0:\d\d left\n", file.getvalue())
    assert lines(file)[-1].startswith("counting: done, 91 of 100 in 0:0")


def test_time_left_is_what_the_speed_so_far_makes_of_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    from miner.cli.watcher import _Stage

    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    stage = _Stage(name="counting", found_before=0, began=now)
    now += 5
    stage.advance(10, 100)
    now += 20
    stage.advance(30, 100)
    assert stage.so_far() == "30 of 100, 0:25 so far, 1:10 left"


@pytest.mark.parametrize("ending", [None, ValueError("no"), KeyboardInterrupt()])
def test_nothing_is_said_of_a_stage_after_its_end(ending: BaseException | None) -> None:
    word = "stopped" if ending else "done"
    for turn in range(60):
        watcher, file = to_a_file()
        watcher.every_s = 0.002
        with no_thread_left():
            try:
                with watcher.stage("thinking"):
                    time.sleep(0.001 * (turn % 6))
                    if ending:
                        raise ending
            except (ValueError, KeyboardInterrupt):
                pass
        told = file.getvalue()
        assert lines(file)[-1].startswith(f"thinking: {word}, 0:0")
        time.sleep(0.004)
        assert file.getvalue() == told


def test_the_stage_around_goes_on_when_one_within_it_has_ended() -> None:
    watcher, file = to_a_file()
    with no_thread_left(), watcher.verb("mine", "rmminer mine"):
        waited_for(file, "mine: at work")
        with watcher.stage("outer") as advance:
            advance(1, 2)
            with watcher.stage("inner"):
                waited_for(file, "inner: at work")
            inner = len(file.getvalue())
            waited_for(file, "outer: 1 of 2")
            assert "inner" not in file.getvalue()[inner:]
    told = [line for line in lines(file) if "so far" not in line]
    assert [re.sub(r", .*", "", line) for line in told] == [
        "", "outer: begins", "inner: begins", "inner: done", "outer: done", "mine: done",
    ]  # fmt: skip


def test_a_line_of_any_kind_puts_the_next_off() -> None:
    watcher, file = to_a_file()
    watcher.every_s = 0.5
    with watcher.stage("thinking"):
        for _ in range(20):
            time.sleep(0.04)
            watcher.note("a thought")
    assert "at work" not in file.getvalue()


def test_the_first_finding_is_shown_whole_and_later_ones_are_counted(finding: Finding) -> None:
    long = replace(finding, response="nonsense " * 100)
    watcher, file = to_a_file()
    with watcher.stage("mining"):
        for one in (long, replace(long, response="another"), replace(long, response="third")):
            watcher.found(one)
        waited_for(file, "; 3 found")
    (first,) = [line for line in file.getvalue().splitlines() if "nonsense" in line]
    assert re.match(r"\[0:\d\d\] first finding: ", first)
    assert first.endswith("nonsense " * 100)
    assert finding.prompt[-1].content in first
    assert "another" not in file.getvalue()
    assert lines(file)[-1].endswith("; 3 found")


def test_on_a_terminal_there_are_bars_and_every_finding(finding: Finding) -> None:
    file = io.StringIO()
    watcher = Watcher(console=Console(file=file, force_terminal=True, width=300, soft_wrap=True), every_s=EVERY_S)
    with watcher.verb("mine", "rmminer mine"), watcher.stage("outer") as advance:
        advance(1, 2)
        with watcher.stage("inner [b]") as within:
            within(3, 4)
            waited_for(file, "3/4")
        watcher.found(replace(finding, response="nonsense " * 100))
        watcher.found(replace(finding, response="word " * 100))
        waited_for(file, "1/2")
        time.sleep(4 * EVERY_S)
    told = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue())
    assert "inner [b]" in told
    assert "nonsense " * 100 in told
    assert "found: " in told
    assert "word word" in told
    assert "word " * 100 not in told
    assert "at work" not in told


def test_a_quiet_watcher_says_nothing(finding: Finding) -> None:
    watcher, file = to_a_file(quiet=True)
    before = threading.active_count()
    with watcher.verb("mine", "rmminer mine"), watcher.stage("thinking") as advance:
        assert threading.active_count() == before
        advance(1, 2)
        watcher.found(finding)
        watcher.note("a note")
        time.sleep(3 * EVERY_S)
    assert file.getvalue() == ""


def test_the_longest_silence_is_below_the_fifteen_seconds_that_are_promised() -> None:
    assert Watcher().every_s < 15
