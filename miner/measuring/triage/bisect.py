"""In which round a finding stopped winning, and whether it started again.

Rounds are few and a win may come back, which a bisection would miss: every round is tried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from corpus.records import Finding
from miner.measuring.triage.result import BisectRow
from miner.statistics import rate

Wins = Mapping[int, bool]  # by the RM's round


def stopped_in(found_in: int, wins: Wins) -> int | None:
    """The first round after that of the find whose RM the finding does not fool; None where it fools all."""
    return next((number for number in sorted(wins) if number > found_in and not wins[number]), None)


def started_again_in(found_in: int, wins: Wins) -> tuple[int, ...]:
    """Rounds in which the finding wins and did not in the round before, once it had stopped."""
    stopped = stopped_in(found_in, wins)
    if stopped is None:
        return ()
    return tuple(number for number in sorted(wins) if number > stopped and wins[number] and not wins.get(number - 1))


def bisect_rows(findings: Sequence[Finding], wins: Mapping[str, Wins]) -> list[BisectRow]:
    """One row per round of finding and split; ``wins`` by finding id."""
    rows = []
    for key in sorted({(finding.round, finding.split) for finding in findings}):
        mine = [finding for finding in findings if (finding.round, finding.split) == key]
        rounds = sorted({number for finding in mine for number in wins[finding.finding_id]})
        stopped = Counter(stopped_in(key[0], wins[finding.finding_id]) for finding in mine)
        again = Counter(number for f in mine for number in started_again_in(key[0], wins[f.finding_id]))
        groups = [finding.prompt_id for finding in mine]
        rows.append(
            BisectRow(
                found_in=key[0],
                split=key[1],
                n=len(mine),
                wins={n: rate([wins[f.finding_id][n] for f in mine], groups=groups) for n in rounds},
                stopped={number: n for number, n in sorted(stopped.items(), key=str) if number is not None},
                never=stopped[None],
                again=dict(sorted(again.items())),
            )
        )
    return rows
