"""A campaign's summary and report, written into its folder."""

from __future__ import annotations

from miner.campaigns.opening import OpenCampaign
from miner.reporting.attribution import Attribution
from miner.reporting.summarise import summarise
from miner.reporting.summary import Summary
from miner.reporting.writing import ReportFiles, write_report

MAX_FINDINGS = 200  # rows of the findings table


def write_summary(campaign: OpenCampaign, *, command: str) -> Summary:
    """``summary.json`` of all rounds that were evaluated; ``command`` is what made them."""
    summary = summarise(campaign, command=command)
    summary.write(campaign.folder)
    return summary


def report_campaign(
    campaign: OpenCampaign, *, max_findings: int = MAX_FINDINGS, attribution: bool = True
) -> ReportFiles:
    """The page and its plots, of what the folder holds; ``attribution`` draws heat maps of the findings, with the RM.

    What the page does without is noted.
    """
    with campaign.observer.stage("writing the report") as advance:
        files = write_report(
            campaign.folder,
            max_findings=max_findings,
            attribution=Attribution(load=campaign.models.open_rm) if attribution else None,
            progress=advance,
        )
    for line in files.left_out:
        campaign.observer.note(line)
    return files
