"""From a campaign's folder to its summary: every figure is recomputed from stored rows."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from corpus.records import Attempt, Finding
from miner.campaigns.certifier import measured_certifier
from miner.campaigns.evaluation import attack_results, contrasts, cost_ratios, transfer_cells
from miner.campaigns.opening import OpenCampaign
from miner.campaigns.reach import reach_results
from miner.campaigns.results import PatchSummary, RoundSummary, TransferCell
from miner.campaigns.stages import take_clean_outcomes
from miner.campaigns.usage import machine
from miner.checkpoints.devices import first_device, resolve_device
from miner.checkpoints.precision import choose
from miner.config.campaign import PatchSection
from miner.judging.near_misses import judged_near_misses
from miner.judging.review_summary import summarise_reviews
from miner.judging.reviews import PeoplesVerdicts
from miner.measuring.gap.fact_swap import FACTUAL_FAMILY
from miner.measuring.triage.result import read_triage
from miner.patching.report import PatchReport
from miner.reporting.summary import Summary
from miner.searching.version import package_version

KEPT = "the fastest when the run began, kept"
GIVEN = "as asked for"


def summarise(campaign: OpenCampaign, *, command: str) -> Summary:
    """The summary of all rounds that were evaluated; the RM of each is loaded once."""
    with campaign.observer.stage("measuring the checks") as advance:
        certifier = measured_certifier(campaign.models.certifier, campaign.world, campaign.run, progress=advance)
    rm = _rm(campaign)
    rounds: list[RoundSummary] = []
    transfer: list[TransferCell] = []
    reviews = campaign.corpus.reviews()
    people = PeoplesVerdicts(reviews if campaign.config.patch.reviewed != "ignore" else ())
    findings, lost = people.without_overruled(_nonsense(campaign)), people.lost_attempts(campaign.findings())
    with campaign.observer.stage("figures of every round, and which findings win in it") as advance:
        present = campaign.run.rounds_present()
        for number in present:
            rounds += [_round(campaign, number, findings, lost)] if campaign.attempts_of(number, "held_out") else []
            models = campaign.models
            transfer += transfer_cells(models.rm(number), models.criteria(number), number, findings)
            advance(number + 1, len(present))
    return Summary(
        world=campaign.world.name,
        data_hash=campaign.world.data_hash,
        rm=rm,
        checks=certifier.checks,
        seconds_a_judged_text=certifier.seconds_a_text,
        rounds=rounds,
        transfer=transfer,
        seconds={stage: round(spent, 1) for stage, spent in campaign.usage.seconds.items()},
        campaign_id=campaign.campaign_id,
        seed=campaign.config.seed,
        code_version=package_version(),
        command=command,
        machine=machine(),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        shares=dict(campaign.world.shares),
        data=dict(campaign.world.data),
        peak_memory_mb=campaign.usage.peak_memory_mb,
        triage=read_triage(campaign.folder),
        reviews=summarise_reviews(
            reviews,
            campaign.findings(),
            judged_near_misses(campaign.corpus, reviews),
            unseen=campaign.config.checks.unseen,
        ),
    )


def _rm(campaign: OpenCampaign) -> dict[str, Any]:
    """The RM as given, and in which dtypes it ranks, confirms and is trained."""
    rm, config = campaign.models.rm(0), campaign.config
    device = resolve_device(first_device(campaign.world.rm.device))
    return {
        "model": config.rm.source if campaign.world.name != "docs" else "docs-world MiniLM cross-encoder",
        "rm_fingerprint": rm.fingerprint,
        "pipeline_hash": rm.pipeline_hash,
        "reward_dtype": rm.reward_dtype,
        "ranking_dtype": rm.ranking_dtype,
        "ranking_dtype_is": KEPT if campaign.models.keeps_ranking_dtype else GIVEN,
        "training_dtype": str(choose("training", device, config.training_dtype)),
        "ranking_tolerance": campaign.models.criteria(0).ranking_tolerance,
        "parameters": rm.n_parameters,
    }


def _round(campaign: OpenCampaign, number: int, findings: Sequence[Finding], lost: Collection[str]) -> RoundSummary:
    attempts = _attempts(campaign, number, lost)
    report = campaign.run.patch_report(number) if number else None
    outcomes = take_clean_outcomes(campaign, number)
    start = campaign.run.clean_outcomes(0) if number else None
    previous = campaign.run.clean_outcomes(number - 1) if number else None
    criteria = campaign.models.criteria(number)
    return RoundSummary(
        round=number,
        model=_relative(campaign.models.source(number), campaign.folder),
        rm_fingerprint=campaign.models.rm(number).fingerprint,
        threshold=criteria.threshold,
        clean_mean=criteria.clean_mean,
        clean_std=criteria.clean_std,
        clean_accuracy=outcomes.accuracy() if outcomes else None,
        accuracy_change=outcomes.change_since(start) if outcomes and start else None,
        accuracy_change_since_previous=outcomes.change_since(previous) if outcomes and previous else None,
        attacks=attack_results(
            attempts,
            findings,
            seen_families=report.families if report else (),
            seen_forms=report.forms if report else (),
        ),
        contrasts=contrasts(attempts),
        reach=reach_results(campaign.run.reaches(number)),
        costs=cost_ratios(attempts, _attempts(campaign, 0, lost), seen_families=report.families) if report else [],
        patch=_patch(report, campaign.config.patch),
    )


def _attempts(campaign: OpenCampaign, number: int, lost: Collection[str]) -> list[Attempt]:
    """Those that rates are made of, on one held-out prompt each, for nonsense; the ``lost`` ones, whose finds people
    overruled, as if they had found nothing."""
    return [
        replace(one, outcome="budget_spent", queries_to_find=None) if one.attempt_id in lost else one
        for one in campaign.attempts_of(number, "held_out")
        if len(one.prompt_ids) == 1 and one.family != FACTUAL_FAMILY
    ]


def _patch(report: PatchReport | None, section: PatchSection) -> PatchSummary | None:
    if report is None:
        return None
    return PatchSummary(
        clean_pairs=report.clean_pairs,
        findings=report.findings,
        not_shown=report.not_shown,
        held_out_families=list(section.held_out_families),
        held_out_forms=list(section.held_out_forms),
        steps=report.steps,
    )


def _nonsense(campaign: OpenCampaign) -> list[Finding]:
    """The findings that headline figures count: what is wrong with a text in another way is counted elsewhere."""
    return [finding for finding in campaign.findings() if finding.kind == "nonsense"]


def _relative(source: str, folder: Path) -> str:
    """A model folder as seen from the run's folder; a hub id as it is."""
    return os.path.relpath(source, folder) if Path(source).is_dir() else source
