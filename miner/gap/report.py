"""``gap.json``: what an RM is still good for on a policy's samples, and whether it knows a fact from its swap."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from miner.gap.selection import Turn
from miner.publishing import read_stored, replace_text
from miner.statistics import Difference, Mean, Rate

FILE_NAME = "gap.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """The expected gold of a pick out of ``n`` samples: by the RM, and by gold itself (the most that n allows)."""

    n: int
    picked: Mean
    best: Mean


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapExample:
    """A swap that the RM prefers to the truth."""

    prompt: str
    true: str
    false: str
    true_reward: float
    false_reward: float
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FactRate:
    """How often the RM prefers the true statement to its swap; ``abstained`` swaps could not be proven false."""

    kind: str
    prefers_true: Rate
    mean_gap: float
    abstained: int
    examples: list[SwapExample]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The generator–discriminator gap. ``gain`` is the pick out of the whole pool minus what the policy writes;
    ``to_reference`` the references' gold minus that pick's; ``used`` the share of the best possible gain that is had.

    ``concordance``: of two samples that differ in gold the RM ranks so many right; ``prefers_reference``: so many
    samples it ranks below the reference.
    """

    pool: int
    prompts: int
    curve: list[CurvePoint]
    turn: Turn
    gain: Difference
    best_gain: Difference
    used: float | None
    to_reference: Difference | None
    concordance: Mean | None
    prefers_reference: Mean | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GapReport:
    """``findings`` counts the swaps that won by the campaign's criteria and were stored, of ``fact_attempts``."""

    selection: Selection | None
    facts: list[FactRate]
    findings: int
    fact_attempts: int
    settings: dict[str, Any]
    notes: list[str]
    command: str
    code_version: str
    created_at: str
    machine: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Replace ``folder/gap.json`` in one step."""
        return replace_text(folder / FILE_NAME, json.dumps(asdict(self), indent=1, allow_nan=False) + "\n")


def read_gap(folder: Path) -> GapReport | None:
    """The gap report of a run; None where it measured none.

    Raises:
        DataError: it is not one of this version.
    """
    return read_stored(folder / FILE_NAME, GapReport, "a gap report")
