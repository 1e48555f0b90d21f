"""What the benchmark says of each RM and of each two of them. Raw rewards are never compared, only wins and queries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from corpus.records import Form
from miner.campaigns.results import AttackResult, ReachResult
from miner.config.campaign import CONTROL
from miner.files import replace_text
from miner.measuring.benchmark.suite import Suite
from miner.statistics import Difference, MedianCost, Rate, SurvivalCurve

FILE_NAME = "bench.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """Stored findings of one form scored again: the share that wins against this RM."""

    form: Form
    still_winning: Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """What an attack found against this RM, at its most convincing: the highest margin."""

    attack: str
    form: Form
    prompt: str
    reference: str | None
    response: str
    margin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRow:
    """One RM. ``broken`` and ``cost`` are of its prompts, by whichever attack found something first of those that all
    RMs were put through (``BenchReport.ranked_by``): what the best of them for each prompt costs, which nobody knows
    before. Prompts with an attempt that ended in an error are left out, and ``errors`` counts those attempts.

    ``mean_cost`` is over the prompts that all RMs have, unbroken ones at the whole budget: it ranks. ``trivial`` are
    prompts on which a trivial answer beats the good one. ``reach``: on how many prompts the texts of each attack win
    that were found on others. ``unable``: attacks that this RM cannot answer, and by which none is ranked then.
    ``not_scored`` are findings that this RM does not take. None where the suite was not run,
    or nothing was replayed.
    """

    model: str
    rm_fingerprint: str
    clean_accuracy: Rate | None
    trivial: Rate | None
    broken: Rate | None
    cost: MedianCost | None
    survival: SurvivalCurve | None
    mean_cost: float | None
    unable: tuple[str, ...]
    errors: int
    attacks: tuple[AttackResult, ...]
    reach: tuple[ReachResult, ...]
    examples: tuple[Example, ...]
    replay: Rate | None
    replayed: tuple[Replayed, ...]
    not_scored: int
    failed: str | None = None

    @classmethod
    def without_figures(cls, model: str, failed: str) -> BenchRow:
        """The row of an RM that could not be measured, and why."""
        return cls(
            model=model, rm_fingerprint="", clean_accuracy=None, trivial=None, broken=None, cost=None, survival=None,
            mean_cost=None, unable=(), errors=0, attacks=(), reach=(), examples=(), replay=None, replayed=(),
            not_scored=0, failed=failed,
        )  # fmt: skip

    @property
    def best_reach(self) -> ReachResult | None:
        """That of the attack whose best text wins on most prompts."""
        return max(self.reach, key=lambda one: one.best_wins.value, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Break cost of ``model`` minus that of ``other``, in queries up to the budget, paired by prompt: above zero
    ``model`` is harder. The intervals of all pairs hold at once, clustered by the prompts' groups."""

    model: str
    other: str
    cost: Difference


@dataclass(frozen=True, slots=True, kw_only=True)
class RateAgainstLimit:
    """One rate held against the limit."""

    model: str
    name: str
    rate: float
    n: int
    failed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchReport:
    """``rows``: the hardest to fool first, by the attacks in ``ranked_by`` alone, which all were put through."""

    suite: Suite
    attacked: bool
    data: str
    seed: int
    ranked_by: tuple[str, ...]
    rows: tuple[BenchRow, ...]
    comparisons: tuple[Comparison, ...]
    command: str

    def rates_against(self, limit: float | None) -> list[RateAgainstLimit]:
        """Every attack but the control and the best text's reach, which fail over ``limit``, and every form of replayed
        findings, which fails if one of them wins: it is a regression test. Without a limit nothing fails."""
        found = []
        for row in self.rows:
            found += [
                RateAgainstLimit(
                    model=row.model,
                    name=f"attack {one.attack}",
                    rate=one.rate,
                    n=one.n,
                    failed=limit is not None and one.rate > limit,
                )
                for one in row.attacks
                if one.attack != CONTROL and one.n
            ]
            if (best := row.best_reach) is not None:
                value, n = best.best_wins.value, best.best_wins.n
                failed = limit is not None and value > limit
                found.append(
                    RateAgainstLimit(model=row.model, name=f"reach {best.attack}", rate=value, n=n, failed=failed)
                )
            found += [
                RateAgainstLimit(
                    model=row.model,
                    name=f"replay {one.form}",
                    rate=one.still_winning.value,
                    n=one.still_winning.n,
                    failed=limit is not None and one.still_winning.value > 0,
                )
                for one in row.replayed
            ]
        return found

    @property
    def errors(self) -> int:
        return sum(row.errors for row in self.rows)

    def write(self, folder: Path) -> Path:
        return replace_text(folder / FILE_NAME, json.dumps(asdict(self), indent=1) + "\n")


def ranked(rows: Sequence[BenchRow]) -> tuple[BenchRow, ...]:
    """By mean break cost, highest first, those without one last; then by the share of replayed findings that win."""

    def key(row: BenchRow) -> tuple[bool, float, float, str]:
        cost = row.mean_cost
        return cost is None, -(cost or 0.0), row.replay.value if row.replay else 0.0, row.model

    return tuple(sorted(rows, key=key))


def means(costs: Mapping[str, Mapping[str, float]], budget: int) -> dict[str, float]:
    """Mean break cost by model over the prompts that all of them have; nothing where there is none."""
    shared = set.intersection(*(set(by_prompt) for by_prompt in costs.values())) if costs else set()
    if not shared:
        return {}
    return {model: sum(min(c[p], budget) for p in shared) / len(shared) for model, c in costs.items()}
