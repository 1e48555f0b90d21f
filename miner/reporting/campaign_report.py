"""A campaign's summary and report, written into its folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from miner.campaigns.opening import OpenCampaign
from miner.progress import Observer
from miner.reporting.attribution import Attribution
from miner.reporting.summarise import summarise
from miner.reporting.summary import Summary
from miner.reporting.writing import ReportFiles, write_report
from miner.rewards.base import RewardModel

MAX_FINDINGS = 200  # rows of the findings table


def write_summary(campaign: OpenCampaign, *, command: str) -> Summary:
    """``summary.json`` of all rounds that were evaluated; ``command`` is what made them."""
    summary = summarise(campaign, command=command)
    summary.write(campaign.folder)
    return summary


def report_run(
    folder: Path,
    observer: Observer,
    *,
    max_findings: int = MAX_FINDINGS,
    load: Callable[[str], RewardModel] | None,
) -> ReportFiles:
    """The page and its plots, of what the run's folder holds. With ``load``, which opens the RM of a folder, heat maps
    of the findings are drawn, too.

    What the page does without is noted.
    """
    with observer.stage("writing the report") as advance:
        files = write_report(
            folder,
            max_findings=max_findings,
            attribution=None if load is None else Attribution(load=load),
            progress=advance,
        )
    for line in files.left_out:
        observer.note(line)
    return files
