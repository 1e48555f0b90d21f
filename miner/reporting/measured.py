"""What was measured beside a campaign and lies in its folder.

None of it is what the campaign's report is about: a file that cannot be read is named in the report, which does
without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from miner.campaigns.tuning import TuningReport, read_tuning
from miner.errors import DataError
from miner.measuring.diversity.report import FILE_NAME as DIVERSITY_FILE
from miner.measuring.diversity.report import DiversityReport, read_diversity
from miner.measuring.gap.report import FILE_NAME as GAP_FILE
from miner.measuring.gap.report import GapReport, read_gap
from miner.measuring.overopt.eval_prompts import study_folders
from miner.reporting.studies import FILE_NAME as SUMMARY_FILE
from miner.reporting.studies import RoundStudy, read_study

CAMPAIGN_FILE = "campaign.toml"
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """``pages`` are the measurements' own, by section, relative to the campaign's folder; ``left_out`` says for what
    is there but not shown why, and what to do."""

    tuning: TuningReport | None = None
    diversity: DiversityReport | None = None
    gap: GapReport | None = None
    studies: tuple[RoundStudy, ...] = ()
    pages: dict[str, str]
    left_out: tuple[str, ...] = ()


def read_measurements(folder: Path) -> Measurements:
    """Everything of the kind in a campaign's folder; what is not there is None."""
    left_out: list[str] = []
    places = {"diversity": _place(folder, "diversity", DIVERSITY_FILE), "gap": _place(folder, "gap", GAP_FILE)}
    return Measurements(
        tuning=_tried(partial(read_tuning, folder), left_out),
        diversity=_tried(partial(read_diversity, places["diversity"]), left_out),
        gap=_tried(partial(read_gap, places["gap"]), left_out),
        studies=_studies(folder, left_out),
        pages={
            name: (place / f"{name}.html").relative_to(folder).as_posix()
            for name, place in places.items()
            if (place / f"{name}.html").exists()
        },
        left_out=tuple(left_out),
    )


def shown_by(page: Path) -> Path | None:
    """The campaign whose report shows the measurement of this page (``RUN/gap/gap.html``); None where none does."""
    places = [page.parent.parent] if page.parent.name == page.stem else []
    return next((place for place in (*places, page.parent) if (place / CAMPAIGN_FILE).exists()), None)


def _studies(folder: Path, left_out: list[str]) -> tuple[RoundStudy, ...]:
    found = []
    for number, path in study_folders(folder):
        study = _tried(partial(read_study, path, number), left_out)
        if study is not None:
            found.append(study)
        elif not (path / SUMMARY_FILE).exists() and any(path.glob("*/run.json")):
            left_out.append(f"{path} holds runs but no summary: the study has not ended. rmminer overopt resumes it")
    return tuple(found)


def _place(folder: Path, name: str, file_name: str) -> Path:
    """Where the newest measurement of a name lies: in its own folder or, as with ``--out RUN``, beside the rest."""
    places = [place for place in (folder / name, folder) if (place / file_name).exists()]
    return max(places, key=lambda place: (place / file_name).stat().st_mtime, default=folder)


def _tried(read: Callable[[], T | None], left_out: list[str]) -> T | None:
    """What ``read`` gives; None, and a line in ``left_out``, where the file is damaged."""
    try:
        return read()
    except DataError as error:
        left_out.append(f"{error}. This report does without it: measure it again, or delete it")
        return None
