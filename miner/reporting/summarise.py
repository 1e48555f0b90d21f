"""From a campaign's folder to its summary: every figure is recomputed from stored rows."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from corpus.records import Finding
from miner.campaigns.campaign import Campaign
from miner.campaigns.evaluation import attack_results, contrasts, transfer_cells
from miner.campaigns.judge import check_errors
from miner.campaigns.reach import reach_results
from miner.campaigns.results import PatchSummary, RoundSummary, TransferCell
from miner.campaigns.usage import machine
from miner.checkpoints.devices import first_device, resolve_device
from miner.checkpoints.precision import choose
from miner.measuring.gap.fact_swap import FACTUAL_FAMILY
from miner.measuring.triage.result import read_triage
from miner.reporting.summary import Summary
from miner.searching.version import package_version


def summarise(campaign: Campaign, *, command: str) -> Summary:
    """The summary of all rounds that were evaluated."""
    rm = campaign.rm(0)
    with campaign.observer.stage("measuring the checks") as advance:
        checks = check_errors(campaign.judge, campaign.world, progress=advance)
    rounds = []
    with campaign.observer.stage("figures of every round") as advance:
        present = campaign.rounds_present()
        for number in present:
            rounds += [_round(campaign, number)] if campaign.attempts_of(number, "held_out") else []
            advance(number + 1, len(present))
    return Summary(
        world=campaign.world.name,
        data_hash=campaign.world.data_hash,
        rm={
            "model": campaign.config.rm.source if campaign.world.name != "docs" else "docs-world MiniLM cross-encoder",
            "rm_fingerprint": rm.fingerprint,
            "pipeline_hash": rm.pipeline_hash,
            "reward_dtype": rm.reward_dtype,
            "ranking_dtype": rm.ranking_dtype,
            "training_dtype": str(
                choose(
                    "training", resolve_device(first_device(campaign.world.rm.device)), campaign.config.training_dtype
                )
            ),
            "ranking_tolerance": campaign.criteria(0).ranking_tolerance,
            "parameters": rm.n_parameters,
        },
        checks=checks,
        rounds=rounds,
        transfer=_transfer(campaign),
        seconds={stage: round(spent, 1) for stage, spent in campaign.usage.seconds.items()},
        campaign_id=campaign.campaign_id,
        seed=campaign.config.seed,
        code_version=package_version(),
        command=command,
        machine=machine(),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        shares=dict(campaign.world.shares),
        peak_memory_mb=campaign.usage.peak_memory_mb,
        triage=read_triage(campaign.folder),
    )


def _round(campaign: Campaign, number: int) -> RoundSummary:
    attempts = [
        one
        for one in campaign.attempts_of(number, "held_out")
        if len(one.prompt_ids) == 1 and one.family != FACTUAL_FAMILY
    ]
    report = campaign.patch_report(number) if number else None
    outcomes = campaign.clean_outcomes(number)
    start = campaign.clean_outcomes(0) if number else None
    previous = campaign.clean_outcomes(number - 1) if number else None
    criteria = campaign.criteria(number)
    return RoundSummary(
        round=number,
        model=_relative(campaign.model_source(number), campaign.folder),
        rm_fingerprint=campaign.rm(number).fingerprint,
        threshold=criteria.threshold,
        clean_mean=criteria.clean_mean,
        clean_std=criteria.clean_std,
        clean_accuracy=outcomes.accuracy() if outcomes else None,
        accuracy_change=outcomes.change_since(start) if outcomes and start else None,
        accuracy_change_since_previous=outcomes.change_since(previous) if outcomes and previous else None,
        attacks=attack_results(
            attempts,
            _nonsense(campaign),
            seen_families=report.families if report else (),
            seen_forms=report.forms if report else (),
        ),
        contrasts=contrasts(attempts),
        reach=reach_results(campaign.reaches(number)),
        patch=None
        if report is None
        else PatchSummary(
            clean_pairs=report.clean_pairs,
            findings=report.findings,
            held_out_families=list(campaign.config.patch.held_out_families),
            held_out_forms=list(campaign.config.patch.held_out_forms),
            steps=report.steps,
        ),
    )


def _nonsense(campaign: Campaign) -> list[Finding]:
    """The findings that headline figures count: what is wrong with a text in another way is counted elsewhere."""
    return [finding for finding in campaign.findings() if finding.kind == "nonsense"]


def _relative(source: str, folder: Path) -> str:
    """A model folder as seen from the run's folder; a hub id as it is."""
    return os.path.relpath(source, folder) if Path(source).is_dir() else source


def _transfer(campaign: Campaign) -> list[TransferCell]:
    findings = _nonsense(campaign)
    cells: list[TransferCell] = []
    present = campaign.rounds_present()
    with campaign.observer.stage("which findings win in which round") as advance:
        for number in present:
            cells += transfer_cells(campaign.rm(number), campaign.criteria(number), number, findings)
            advance(number + 1, len(present))
    return cells
