"""``summary.json``: every number of a run, in one file that other programs may lean on.

Keys are added, never renamed. A rate is ``{"value", "n", "low", "high"}`` with a 95 % interval; where nothing was
measured there is null, never a zero.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from miner.campaigns.results import CheckErrors, RoundSummary, TransferCell
from miner.errors import DataError
from miner.files import replace_text
from miner.judging.review_summary import ReviewSummary
from miner.measuring.triage.result import TriageResult

FILE_NAME = "summary.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    world: str
    data_hash: str
    rm: dict[str, Any]
    checks: dict[str, CheckErrors]
    rounds: list[RoundSummary]
    transfer: list[TransferCell]
    seconds: dict[str, float]
    campaign_id: str
    seed: int
    code_version: str
    command: str
    machine: dict[str, Any]
    created_at: str
    shares: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    peak_memory_mb: float | None = None
    triage: TriageResult | None = None
    seconds_a_judged_text: float | None = None
    reviews: ReviewSummary | None = None

    def write(self, folder: Path) -> Path:
        """Replace ``folder/summary.json`` in one step."""
        return replace_text(folder / FILE_NAME, json.dumps(asdict(self), indent=1, allow_nan=False) + "\n")


def take_triage(folder: Path, triage: TriageResult) -> None:
    """Put the triage of a run into its summary, where it has been summarised. Errors as ``read_summary``."""
    if (folder / FILE_NAME).exists():
        whole = {**read_summary(folder), "triage": asdict(triage)}
        replace_text(folder / FILE_NAME, json.dumps(whole, indent=1, allow_nan=False) + "\n")


def read_summary(folder: Path) -> dict[str, Any]:
    """The summary of a run, as plain JSON values.

    Raises:
        DataError: there is none, or it is not JSON.
    """
    path = folder / FILE_NAME
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"no {FILE_NAME} in {folder}; name the folder of a finished run (rmminer cycle --out …)"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(loaded, dict) or "rounds" not in loaded:
        raise DataError(f"{path} is not a summary: it has no 'rounds'")
    return loaded


__all__ = ["Summary", "read_summary", "take_triage"]
