"""What ``rmminer overopt`` stored in a campaign's folder, as far as the report shows it.

The shapes below name only what is shown, all of it plain numbers and text: summaries of other versions stay readable,
and reading them loads nothing that trains.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from miner.publishing import read_stored
from miner.statistics import Rate, rate

FOLDER = re.compile(r"overopt(?:-round(\d+))?")  # one per RM: as given, and after so many patches
FILE_NAME, PAGE_NAME = "summary.json", "overopt.html"
MOMENTS = ("start", "best gold", "onset", "end")


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """How a run ended: ``status`` is "running", "done" or "stopped"; ``bar`` holds the margin that wins."""

    name: str
    bar: dict[str, float]
    status: str = "running"
    reason: str = ""
    last_good: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Means over prompts at one measured step; None where it was not measured."""

    step: int
    proxy: float | None
    gold: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bend:
    step: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Onset:
    """The step from which a run games, and its 95 % interval."""

    bend: Bend
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WithGold:
    """``games`` is None where gold cannot tell, for the ``reason`` given."""

    games: bool | None
    onset: Onset | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WithoutGold:
    estimate: Onset | None
    alarm_step: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One prompt's answer at one moment of a run. The response is mined text."""

    step: int
    when: str
    prompt_id: str
    response: str
    proxy: float | None
    gold: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRun:
    """One policy optimised against the RM."""

    info: Info
    points: tuple[Point, ...]
    with_gold: WithGold
    judged: WithoutGold | None
    best_step: int | None
    examples: tuple[Example, ...]

    @property
    def best(self) -> Point | None:
        return next((point for point in self.points if point.step == self.best_step), None)

    def moments(self) -> list[tuple[str, list[Example]]]:
        """Its examples by moment, as the run came to them."""
        present = [(when, [one for one in self.examples if one.when == when]) for when in MOMENTS]
        return sorted(((when, found) for when, found in present if found), key=lambda entry: entry[1][0].step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimated:
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Expected proxy and gold of the best of n samples, by n."""

    ns: tuple[int, ...]
    proxy: tuple[Estimated, ...]
    gold: tuple[Estimated, ...]
    n_prompts: int

    @property
    def shown(self) -> list[tuple[int, Estimated, Estimated]]:
        """(n, proxy, gold) of one sample, of the n whose gold is highest, and of the largest n."""
        rows = list(zip(self.ns, self.proxy, self.gold, strict=False))
        highest = max(range(len(rows)), key=lambda at: rows[at][2].value, default=0)
        return [row for at, row in enumerate(rows) if at in (0, highest, len(rows) - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """``summary.json`` of a study."""

    runs: tuple[PolicyRun, ...]
    pool: Pool | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """All policies optimised against one round's RM; ``page`` is the study's own, relative to the campaign's folder."""

    round: int
    runs: tuple[PolicyRun, ...]
    pool: Pool | None
    notes: tuple[str, ...]
    page: str | None

    @property
    def gaming(self) -> list[PolicyRun]:
        return [run for run in self.runs if run.with_gold.games]

    @property
    def share_gaming(self) -> Rate | None:
        """Of the runs that gold can tell, the share that games; None where it can tell none."""
        told = [run.with_gold.games for run in self.runs if run.with_gold.games is not None]
        return rate(told) if told else None

    @property
    def onset_steps(self) -> tuple[float, float, float] | None:
        """First, median and last onset of its gaming runs."""
        steps = [run.with_gold.onset.bend.step for run in self.gaming if run.with_gold.onset]
        return (min(steps), median(steps), max(steps)) if steps else None

    @property
    def sampled(self) -> PolicyRun | None:
        """The run whose samples are shown: the first that games, else the first that has any."""
        return next((run for run in (*self.gaming, *self.runs) if run.examples), None)


def study_folders(folder: Path) -> list[tuple[int, Path]]:
    """The folders of studies in a campaign's folder, each with the round of its RM, in their order."""
    named = ((FOLDER.fullmatch(path.name), path) for path in folder.glob("overopt*"))
    return sorted((int(match[1] or 0), path) for match, path in named if match)


def read_study(folder: Path, number: int) -> Study | None:
    """The study in ``folder``; None where none was summarised.

    Raises:
        DataError: its summary is none of this version.
    """
    stored = read_stored(folder / FILE_NAME, Stored, "a summary of rmminer overopt")
    if stored is None:
        return None
    page = f"{folder.name}/{PAGE_NAME}" if (folder / PAGE_NAME).exists() else None
    return Study(round=number, runs=stored.runs, pool=stored.pool, notes=stored.notes, page=page)


def sample_prompts(studies: Sequence[Study]) -> set[str]:
    """The ids of the prompts whose samples are shown."""
    return {one.prompt_id for study in studies if study.sampled for one in study.sampled.examples}
