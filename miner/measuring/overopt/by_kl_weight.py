"""Summary over the seeds of one KL weight: how many game, from which step, when to stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from miner.measuring.overopt.bands import MIN_RUNS
from miner.statistics import Rate, rate, student_interval

if TYPE_CHECKING:
    from miner.measuring.overopt.results import RunSummary, StepMeans


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A mean over ``n`` runs; its 95 % interval over runs where there are three or more, else None."""

    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class RunsAtKl:
    """Runs that differ in their seed alone."""

    kl: float | None
    runs: tuple[RunSummary, ...]

    @property
    def name(self) -> str:
        return "KL weight not recorded" if self.kl is None else f"KL weight {self.kl:g}"

    @property
    def decidable(self) -> list[RunSummary]:
        """Those of which gold can tell whether they game."""
        return [run for run in self.runs if run.with_gold.games is not None]

    @property
    def gaming(self) -> list[RunSummary]:
        return [run for run in self.runs if run.with_gold.games]

    @property
    def share_gaming(self) -> Rate | None:
        return rate([bool(run.with_gold.games) for run in self.decidable]) if self.decidable else None

    @property
    def onsets(self) -> list[float]:
        """Steps, ascending, of the runs that game and whose onset is told."""
        return sorted(run.with_gold.onset.bend.step for run in self.runs if run.with_gold.onset is not None)

    @property
    def median_onset(self) -> float | None:
        """Of those that game: a weight under which most never do can still have an early one."""
        return median(self.onsets) if self.onsets else None

    @property
    def alarms(self) -> list[float]:
        """Steps, ascending, at which the reward was seen to bend."""
        return sorted(run.alarm.step for run in self.runs if run.alarm is not None)

    @property
    def stop_before(self) -> int | None:
        """The step before which no run has started to game; None where none is told to."""
        return max(1, int(self.onsets[0])) if self.onsets else None

    @property
    def last_step(self) -> int:
        return max((run.points[-1].step for run in self.runs if run.points), default=0)

    def gold(self, moment: str) -> Spread | None:
        """The mean over runs of gold at the "start", the "best" step or the "end"; the best is chosen on the prompts it
        is read off."""
        points = [_at(run, moment) for run in self.runs]
        values = [point.gold for point in points if point is not None and point.gold is not None]
        if not values:
            return None
        low, high = (float(end[0]) for end in student_interval(np.array(values)[:, None]))
        enough = len(values) >= MIN_RUNS
        return Spread(
            value=sum(values) / len(values), low=low if enough else None, high=high if enough else None, n=len(values)
        )


def by_kl_weight(runs: Sequence[RunSummary]) -> list[RunsAtKl]:
    """The runs by their KL weight, the freest first."""
    found: dict[float | None, list[RunSummary]] = {}
    for run in runs:
        found.setdefault(run.kl_weight, []).append(run)
    return [RunsAtKl(kl=kl, runs=tuple(found[kl])) for kl in sorted(found, key=lambda one: one or 0.0)]


def _at(run: RunSummary, moment: str) -> StepMeans | None:
    if not run.points:
        return None
    return {"start": run.points[0], "best": run.best, "end": run.points[-1]}[moment]
