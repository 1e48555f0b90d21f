"""``diversity.json``: every number of a diversity measurement, with what it was measured on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from miner.files import read_stored, replace_text
from miner.measuring.diversity.response_sets import Scope
from miner.statistics import Difference, Mean, Rate

FILE_NAME = "diversity.json"

TITLES = {
    "entropy": "next-token entropy (nats)",
    "distinct_1": "distinct words",
    "distinct_2": "distinct word pairs",
    "distinct_3": "distinct word triples",
    "self_bleu": "self-BLEU",
    "cosine": "mean pairwise cosine",
    "modes": "modes in a set",
    "silhouette": "silhouette of the modes",
    "top_mode": "share of the top mode",
}
VARIED_WHEN_LOW = frozenset({"self_bleu", "cosine", "top_mode"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A statistic over sets of texts: within prompts or across them. ``mean.n`` counts the sets that have it."""

    name: str
    scope: Scope
    mean: Mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A statistic minus that of the first side, in pairs of sets on the same prompts."""

    name: str
    scope: Scope
    difference: Difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Attractor:
    """How often a policy returns to a prompt's top mode. ``forced`` is after off-mode words, ``free`` without them,
    ``stranger`` what another prompt's free ends do; ``pull`` is forced minus stranger, paired by prompt. ``ended`` is
    how often the policy ended right after the off-mode words: such texts count in no other rate.

    ``prompts`` had a top mode of two texts or more that are long enough, ``without`` had none.
    """

    forced: Rate
    free: Rate
    stranger: Rate
    ended: Rate
    pull: Difference
    off_mode_tokens: int
    prompts: int
    without: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredPolicy:
    """What was measured of one policy, or of one lot of texts. ``chat_template``: None where there is no policy.

    ``sqrt_kl`` is the root of the mean KL from the first policy on this one's samples; ``points`` are texts in the
    plane of the embedding's two main axes, shared by all sides. ``gold_given`` is a gold that whoever named the side
    knew already, where none was measured: nobody knows its interval.
    """

    label: str
    source: str
    fingerprint: str | None
    chat_template: bool | None
    texts: int
    prompts: int
    metrics: list[Metric]
    changes: list[Change]
    entropy_by_position: list[Mean]
    attractor: Attractor | None
    kl: Mean | None
    sqrt_kl: float | None
    gold: Mean | None
    gold_change: Difference | None
    points: list[tuple[float, float]]
    gold_given: float | None = None

    def metric(self, name: str, scope: Scope) -> Mean | None:
        return next((m.mean for m in self.metrics if (m.name, m.scope) == (name, scope)), None)

    def change(self, name: str, scope: Scope) -> Difference | None:
        return next((c.difference for c in self.changes if (c.name, c.scope) == (name, scope)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiversityReport:
    """``settings`` hold all that the numbers depend on: seeds, sizes, draws, the embedding."""

    sides: list[MeasuredPolicy]
    settings: dict[str, Any]
    notes: list[str]
    command: str
    code_version: str
    created_at: str
    machine: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Replace ``folder/diversity.json`` in one step."""
        return replace_text(folder / FILE_NAME, json.dumps(asdict(self), indent=1, allow_nan=False) + "\n")


def read_diversity(folder: Path) -> DiversityReport | None:
    """The diversity report of a run; None where it measured none.

    Raises:
        DataError: it is not one of this version.
    """
    return read_stored(folder / FILE_NAME, DiversityReport, "a diversity report")
