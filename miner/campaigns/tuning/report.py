"""What tuning found: the trials, the best of them, and what it is worth on prompts that did not choose it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from miner.errors import DataError
from miner.files import replace_text
from miner.statistics import Difference, Rate

FILE_NAME = "tuning.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedRow:
    """One trial: its mean break cost over ``n`` train prompts, fewer than all where it was given up early."""

    number: int
    params: Mapping[str, Any]
    cost: float
    n: int
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningReport:
    """``cost`` is queries to the first finding, attempts without one counted at the whole budget.

    ``change`` is tuned minus default on held-out prompts, paired by prompt: what the figure on train prompts, which
    chose the winner, cannot say.
    """

    attack: str
    rm_fingerprint: str
    seed: int
    budget: int
    train_prompts: int
    default: Mapping[str, Any]
    tuned: Mapping[str, Any]
    default_cost: float
    tuned_cost: float
    importances: Mapping[str, float]
    trials: tuple[TunedRow, ...]
    held_out_default: Rate
    held_out_tuned: Rate
    change: Difference

    def write(self, folder: Path) -> None:
        replace_text(folder / FILE_NAME, json.dumps(asdict(self), indent=1) + "\n")


def read_tuning(folder: Path) -> TuningReport | None:
    """What ``rmminer tune`` left in a run's folder; None where it has not run.

    Raises:
        DataError: the file is there and not of this version.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return None
    try:
        return TypeAdapter(TuningReport).validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise DataError(f"{path} is not a tuning report of this version. Run rmminer tune again") from error
