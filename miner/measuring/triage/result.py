"""What a triage says of a run: ``triage/triage.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from corpus.records import Form, Split
from miner.files import read_stored, replace_text
from miner.statistics import Rate, WithInterval

FOLDER_NAME = "triage"
FILE_NAME = "triage.json"


@dataclass(frozen=True, slots=True)
class Auroc:
    """How well a distance tells ``n_positive`` texts from ``n_negative`` others: 0.5 is not at all, 95 % interval."""

    value: float
    n_positive: int
    n_negative: int
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupResult:
    """Findings of one cause.

    ``cause`` is what most of them have in common, in words. ``representative`` is the shortest minimal text among them
    and ``reach`` the share of other prompts that it wins on, None where that was not measured. ``shrink_factor`` is a
    median. ``still_wins`` counts
    those that win against the newest RM, None without a bisection.
    """

    group: str
    cause: tuple[str, ...]
    count: int
    prompts: int
    forms: dict[Form, int]
    attacks: dict[str, int]
    rounds: dict[int, int]
    representative: str
    representative_id: str
    shrink_factor: float
    reach: Rate | None
    still_wins: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundDistance:
    """How far out of one RM's domain its findings are: distances among clean references held out from the fit, too.

    Percentiles are those of the findings among these references. ``shrinkage`` is Ledoit and Wolf's.
    """

    round: int
    n_fit: int
    shrinkage: float
    clean: tuple[float, ...]
    findings: tuple[float, ...]
    percentiles: tuple[float, ...]
    auroc: Auroc


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedByDistance:
    """Are the findings that the patch after ``round`` fixed farther out? ``auroc`` is None where all or none were."""

    round: int
    split: Split
    fixed: int
    n: int
    auroc: Auroc | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BisectRow:
    """What became of the findings of one round and split against every RM.

    ``wins`` is the share that wins by the RM's round. ``stopped`` counts those that first stopped in a round,
    ``never`` those that have not stopped, ``again`` those that won again after, by the round in which they did.
    """

    found_in: int
    split: Split
    n: int
    wins: dict[int, Rate]
    stopped: dict[int, int]
    never: int
    again: dict[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TriageResult:
    """``n`` findings were triaged of ``of`` in the run; ``queries`` by what they were spent on."""

    n: int
    of: int
    shrink_factor: WithInterval | None
    one_minimal: Rate | None
    queries: dict[str, int]
    queries_per_finding: float
    max_queries: int
    code: str
    groups: tuple[GroupResult, ...]
    distances: tuple[RoundDistance, ...] = ()
    fixed: tuple[FixedByDistance, ...] = ()
    bisect: tuple[BisectRow, ...] = ()
    started_again: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def write(self, run: Path) -> Path:
        """Replace ``triage/triage.json``."""
        return replace_text(run / FOLDER_NAME / FILE_NAME, json.dumps(asdict(self), indent=1, allow_nan=False) + "\n")


def read_triage(run: Path) -> TriageResult | None:
    """The triage stored in a run's folder; None where it was never triaged.

    Raises:
        DataError: it is not one of this version.
    """
    return read_stored(run / FOLDER_NAME / FILE_NAME, TriageResult, "a triage")
