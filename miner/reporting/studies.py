"""The studies of ``rmminer overopt`` in a campaign's folder, one a round, as the report shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from corpus.records import Conversation
from miner.files import read_stored
from miner.measuring.overopt.by_kl_weight import RunsAtKl, by_kl_weight
from miner.measuring.overopt.eval_prompts import read_prompts
from miner.measuring.overopt.results import PoolSummary, RunSummary, StudyComparison, StudySummary

FILE_NAME, PAGE_NAME = "summary.json", "overopt.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundStudy:
    """All policies optimised against one round's RM; ``page`` is the study's own, relative to the campaign's folder;
    ``asked`` are the prompts its runs were measured on, where they stored them."""

    round: int
    runs: tuple[RunSummary, ...]
    pool: PoolSummary | None
    notes: tuple[str, ...]
    paired: StudyComparison | None
    page: str | None
    asked: dict[str, Conversation] = field(default_factory=dict)

    @property
    def groups(self) -> list[RunsAtKl]:
        """Its runs by KL weight, the freest first."""
        return by_kl_weight(self.runs)

    @property
    def gaming(self) -> list[RunSummary]:
        return [run for run in self.runs if run.with_gold.games]

    @property
    def sampled(self) -> RunSummary | None:
        """The run whose samples are shown: the first that games, else the first that has any."""
        return next((run for run in (*self.gaming, *self.runs) if run.examples), None)


def read_study(folder: Path, number: int) -> RoundStudy | None:
    """The study in ``folder``; None where none was summarised.

    Raises:
        DataError: its summary is none of this version, or its prompts cannot be read.
    """
    stored = read_stored(folder / FILE_NAME, StudySummary, "a summary of rmminer overopt")
    if stored is None:
        return None
    return RoundStudy(
        round=number,
        runs=stored.runs,
        pool=stored.pool,
        notes=stored.notes,
        paired=stored.comparison,
        page=f"{folder.name}/{PAGE_NAME}" if (folder / PAGE_NAME).exists() else None,
        asked=read_prompts(folder),
    )


def sample_prompts(studies: Sequence[RoundStudy]) -> set[str]:
    """The ids of the prompts whose samples are shown."""
    return {one.prompt_id for study in studies if study.sampled for one in study.sampled.examples}
