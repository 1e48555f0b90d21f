"""What became of findings round by round, on planted rounds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from miner.measuring.triage.bisect import bisect_rows, started_again_in, stopped_in
from scripts.triage_bench.planted import planted_set


@pytest.mark.parametrize(
    ("found_in", "wins", "stopped", "again"),
    [
        (0, "1111", None, ()),
        (0, "1000", 1, ()),
        (0, "1101", 2, (3,)),
        (0, "10101", 1, (2, 4)),
        (0, "1011", 1, (2,)),
        (1, "0111", None, ()),
        (1, "0101", 2, (3,)),
        (2, "001", None, ()),
    ],
)
def test_the_round_it_stopped_in_and_those_it_started_again_in(
    found_in: int, wins: str, stopped: int | None, again: tuple[int, ...]
) -> None:
    by_round = {number: won == "1" for number, won in enumerate(wins)}
    assert stopped_in(found_in, by_round) == stopped
    assert started_again_in(found_in, by_round) == again


def test_the_table_counts_every_finding_once() -> None:
    findings = [replace(one, round=i % 2) for i, one in enumerate(planted_set(seed=1, per_flaw=1).findings[:8])]
    patterns = {0: ["1111", "1000", "1010", "1001"], 1: ["1111", "0100", "0110", "1101"]}
    wins = {
        one.finding_id: {n: c == "1" for n, c in enumerate(patterns[one.round][i // 2])}
        for i, one in enumerate(findings)
    }
    first, second = bisect_rows(findings, wins)
    assert (first.found_in, first.n, first.never, first.stopped, first.again) == (0, 4, 1, {1: 3}, {2: 1, 3: 1})
    assert (second.found_in, second.n, second.never, second.stopped) == (1, 4, 1, {2: 2, 3: 1})
    assert second.again == {3: 1}
    for row in (first, second):
        assert row.never + sum(row.stopped.values()) == row.n
        assert row.wins[row.found_in].value == 1
