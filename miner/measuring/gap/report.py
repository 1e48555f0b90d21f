"""``gap.json``: what an RM is still good for on policies' samples, and whether it knows a fact from its swap."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from miner.files import read_stored, replace_text
from miner.measuring.best_of_n import Peak
from miner.statistics import Difference, Mean, Rate

FILE_NAME = "gap.json"
COIN = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """The expected gold of a pick out of ``n`` samples: by the RM, and by gold itself (the most that n allows).

    ``gain`` is the RM's pick minus one sample, paired by prompt.
    """

    n: int
    picked: Mean
    best: Mean
    gain: Difference


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
class ChoiceValue:
    """The generator–discriminator gap. ``gain`` is the pick out of the whole pool minus what the policy writes,
    ``used`` the share of the best possible gain that is had. ``concordance``: of two samples that differ in gold the
    RM ranks so many right; under one half it ranks them worse than a coin. Both changes are since the first policy.

    ``negative_from``: from so many samples on, up to the whole pool, the gain's interval lies below zero.
    """

    gain: Difference
    gain_change: Difference | None
    negative_from: int | None
    best_gain: Difference
    used: float | None
    turn: Peak
    concordance: Mean | None
    concordance_change: Difference | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """One policy's samples and what choosing among them is worth; ``choice`` is None where gold tells no two samples
    of a prompt apart. ``distinct`` counts a prompt's different samples.

    ``to_reference`` is the references' gold minus that of the pick out of the whole pool; ``prefers_reference``: so
    many samples the RM ranks below the reference.
    """

    label: str
    fingerprint: str | None
    sqrt_kl: float | None
    pool: int
    prompts: int
    distinct: Mean
    curve: list[CurvePoint]
    choice: ChoiceValue | None
    to_reference: Difference | None
    prefers_reference: Mean | None

    @property
    def sample(self) -> Mean:
        """Gold of what the policy writes."""
        return self.curve[0].picked

    @property
    def pick(self) -> Mean:
        """Gold of the RM's pick out of the whole pool."""
        return self.curve[-1].picked

    @property
    def is_negative(self) -> bool:
        """Whether the whole interval of the gain is below zero."""
        return self.choice is not None and self.choice.gain.high < 0

    @property
    def is_reversed(self) -> bool:
        """Whether the RM ranks two samples worse than a coin, by the whole interval."""
        ranked = self.choice.concordance if self.choice else None
        return ranked is not None and ranked.high < COIN


@dataclass(frozen=True, slots=True, kw_only=True)
class GapReport:
    """``selections`` has one entry per policy, the first the one that the others are compared with; ``findings``
    counts the swaps that won by the campaign's criteria and were stored, of ``fact_attempts``."""

    selections: list[Selection]
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
