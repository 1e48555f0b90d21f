"""What ``rmminer overopt`` stored in a campaign's folder, as far as the report shows it.

The shapes below name only what is shown, all of it plain numbers and text: summaries of other versions stay readable,
and reading them loads nothing that trains.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from corpus.records import Conversation
from miner.files import read_stored
from miner.measuring.overopt.prompts import asked_in
from miner.statistics import Difference, Rate, rate

FOLDER = re.compile(r"overopt(?:-round(\d+))?")  # one per RM: as given, and after so many patches
FILE_NAME, PAGE_NAME = "summary.json", "overopt.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """How a run was made and ended: ``status`` is "running", "done" or "stopped"; ``bar`` has the margin that wins."""

    name: str
    settings: dict[str, Any]
    bar: dict[str, float]
    status: str


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
class Moment:
    """A step with all that it is ("best gold", "onset"), and what the policy wrote there, one example a prompt."""

    step: int
    names: tuple[str, ...]
    examples: list[Example]


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

    @property
    def kl(self) -> float | None:
        """The weight of its KL penalty, per nat."""
        weight = self.info.settings.get("kl")
        return float(weight) if isinstance(weight, (int, float)) else None

    @property
    def moments(self) -> list[Moment]:
        """Its examples by step; what falls on one step is told in one breath."""
        found: dict[int, dict[str, list[Example]]] = {}
        for one in self.examples:
            found.setdefault(one.step, {}).setdefault(one.when, []).append(one)
        return [
            Moment(step=step, names=tuple(by_name), examples=next(iter(by_name.values())))
            for step, by_name in sorted(found.items())
        ]


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
class Paired:
    """Runs against a patched RM beside the same runs against the RM as given: the share in which gaming starts later or
    never, and what gold at the best step gained. None where too few can be told."""

    later: Rate | None
    best_gold: Difference | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """``summary.json`` of a study."""

    runs: tuple[PolicyRun, ...]
    pool: Pool | None
    notes: tuple[str, ...]
    comparison: Paired | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Runs against one RM under one KL weight: what can be compared between RMs."""

    kl: float | None
    runs: list[PolicyRun]

    @property
    def told(self) -> list[bool]:
        """Per run that gold can tell: does it game?"""
        return [run.with_gold.games for run in self.runs if run.with_gold.games is not None]

    @property
    def share_gaming(self) -> Rate | None:
        return rate(self.told) if self.told else None

    @property
    def onsets(self) -> tuple[float, float, float] | None:
        """Median, first and last onset, of the runs that game alone: one that starts too late to be seen is not among
        them."""
        steps = [run.with_gold.onset.bend.step for run in self.runs if run.with_gold.onset]
        return (median(steps), min(steps), max(steps)) if steps else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """All policies optimised against one round's RM; ``page`` is the study's own, relative to the campaign's folder;
    ``asked`` are the prompts its runs were measured on, where they stored them."""

    round: int
    runs: tuple[PolicyRun, ...]
    pool: Pool | None
    notes: tuple[str, ...]
    paired: Paired | None
    page: str | None
    asked: dict[str, Conversation] = field(default_factory=dict)

    @property
    def groups(self) -> list[Group]:
        """Its runs by KL weight, the freest first."""
        by_weight: dict[float | None, list[PolicyRun]] = {}
        for run in self.runs:
            by_weight.setdefault(run.kl, []).append(run)
        return [Group(kl=kl, runs=runs) for kl, runs in sorted(by_weight.items(), key=lambda item: item[0] or 0.0)]

    @property
    def gaming(self) -> list[PolicyRun]:
        return [run for run in self.runs if run.with_gold.games]

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
        DataError: its summary is none of this version, or its prompts cannot be read.
    """
    stored = read_stored(folder / FILE_NAME, Stored, "a summary of rmminer overopt")
    if stored is None:
        return None
    page = f"{folder.name}/{PAGE_NAME}" if (folder / PAGE_NAME).exists() else None
    return Study(
        round=number,
        runs=stored.runs,
        pool=stored.pool,
        notes=stored.notes,
        paired=stored.comparison,
        page=page,
        asked=asked_in(folder),
    )


def sample_prompts(studies: Sequence[Study]) -> set[str]:
    """The ids of the prompts whose samples are shown."""
    return {one.prompt_id for study in studies if study.sampled for one in study.sampled.examples}
