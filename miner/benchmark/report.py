"""What the benchmark says of each RM and of each two of them. Raw rewards are never compared, only wins and queries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from corpus.records import Form
from miner.benchmark.suite import Suite
from miner.statistics import Difference, MedianCost, Rate
from miner.summary import AttackResult

FILE_NAME = "bench.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """Stored findings of one form scored again: the share that wins against this RM."""

    form: Form
    still_winning: Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRow:
    """One RM. ``broken`` and ``cost`` are of its prompts, by whichever attack of the suite (the control left out) found
    something first; prompts that none broke cost the whole budget. ``trivial`` are prompts on which a trivial answer
    beats the good one. None where the suite was not run, or nothing was replayed."""

    model: str
    rm_fingerprint: str
    clean_accuracy: Rate | None
    trivial: Rate
    broken: Rate | None
    cost: MedianCost | None
    attacks: tuple[AttackResult, ...]
    replay: Rate | None
    replayed: tuple[Replayed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Break cost of ``model`` minus that of ``other``, in queries, paired by prompt: above zero ``model`` is harder."""

    model: str
    other: str
    cost: Difference


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchReport:
    """``rows``: the hardest to fool first."""

    suite: Suite
    data: str
    seed: int
    rows: tuple[BenchRow, ...]
    comparisons: tuple[Comparison, ...]
    command: str

    def over(self, limit: float) -> list[str]:
        """What is above ``limit``, in words: shares of findings that win again, and success rates of attacks."""
        found = []
        for row in self.rows:
            if row.replay is not None and row.replay.value > limit:
                found.append(f"{row.model}: {row.replay.value:.1%} of {row.replay.n} replayed findings win")
            found += [
                f"{row.model}: {one.attack} breaks {one.rate:.1%} of {one.n} prompts"
                for one in row.attacks
                if one.rate > limit
            ]
        return found

    def write(self, folder: Path) -> Path:
        path = folder / FILE_NAME
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        return path


def ranked(rows: Sequence[BenchRow], mean_cost: dict[str, float]) -> tuple[BenchRow, ...]:
    """By mean break cost, highest first; without a suite by the share of replayed findings that win, lowest first."""

    def key(row: BenchRow) -> tuple[float, float, str]:
        return -mean_cost.get(row.model, 0.0), row.replay.value if row.replay else 0.0, row.model

    return tuple(sorted(rows, key=key))
