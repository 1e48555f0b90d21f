"""A campaign's stages: mine, patch, evaluate, and the cycle of them. Each does what the folder lacks, and no more."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from corpus.records import Finding, Prompt
from miner.campaigns.attacking import attack
from miner.campaigns.evaluation import CleanOutcomes, clean_outcomes
from miner.campaigns.opening import OpenCampaign
from miner.campaigns.planned import Attacked, evaluated, held_out_prompts, mined
from miner.campaigns.reach import chosen_for_reach, reaches
from miner.campaigns.requirements import patch_findings, require_cycle, require_patch
from miner.campaigns.scheduled_mining import mine_scheduled
from miner.campaigns.stage_starts import evaluated_view, freeze_evaluation, frozen_input
from miner.patching.report import PatchReport
from miner.patching.trainable import EXPORT
from miner.searching.mining import MiningReport


def mine_round(campaign: OpenCampaign, round_number: int) -> MiningReport:
    """Attack train prompts: the findings that a patch may see."""
    stage = campaign.config.mine
    attacked = mined(campaign.config, campaign.world, round_number)
    if stage.schedule is not None:
        return mine_scheduled(campaign, stage.schedule, attacked, round_number)
    return attack(
        campaign,
        stage,
        attacked,
        round_number,
        seeded_from=round_number,
        title=f"round {round_number}: mining",
    )


def evaluate_round(campaign: OpenCampaign, round_number: int, *, without: Collection[str] = ()) -> MiningReport:
    """Attack held-out prompts, the control always among the attacks; take the clean accuracy and the reach of what
    was found. Attacks named in ``without`` are left out."""
    attacked = evaluated(campaign.config, campaign.world, round_number, campaign.observer)
    report = attack(
        campaign,
        campaign.config.evaluate,
        [one for one in attacked if one.section.name not in without],
        round_number,
        seeded_from=max(0, round_number - 1),
        title=f"round {round_number}: attacking held-out prompts",
    )
    if campaign.is_shared or evaluated_view(campaign.run, round_number) is not None:
        made = campaign.attempts_in(campaign.corpus, round_number, "held_out")
        freeze_evaluation(campaign.run, round_number, {attempt.attempt_id for attempt in made})
    take_clean_outcomes(campaign, round_number)
    _take_reach(campaign, round_number, held_out_prompts(campaign.config, campaign.world))
    return report


def take_clean_outcomes(campaign: OpenCampaign, round_number: int) -> CleanOutcomes | None:
    """Clean preferences of the RM of ``round_number`` on the held-out pairs, taken once; None where there are none."""
    stored, wanted = campaign.run.clean_outcomes(round_number), campaign.config.evaluate.rejected_per_prompt
    if stored is not None and stored.rejected_per_prompt == wanted:
        return stored
    rm, title = campaign.models.rm(round_number), f"round {round_number}: clean accuracy"
    with campaign.usage.timed("accuracy"), campaign.observer.stage(title) as advance:
        outcomes = clean_outcomes(rm, campaign.world.by_split["held_out"], advance, rejected_per_prompt=wanted)
    if outcomes is not None:
        campaign.run.store_clean_outcomes(round_number, outcomes)
    return outcomes


def _take_reach(campaign: OpenCampaign, round_number: int, prompts: Sequence[Prompt]) -> None:
    made = {attempt.attempt_id for attempt in campaign.attempts_of(round_number, "held_out")}
    view = evaluated_view(campaign.run, round_number)
    findings = [finding for finding in campaign.findings(view) if finding.attempt_id in made]
    chosen = chosen_for_reach(findings, campaign.config.evaluate.reach)
    known = {one.finding_id: one for one in campaign.run.reaches(round_number, prompts)}
    fresh = [finding for finding in chosen if finding.finding_id not in known]
    rm, criteria = campaign.models.rm(round_number), campaign.models.criteria(round_number)
    title = f"round {round_number}: reach of the findings"
    with campaign.usage.timed("reach"), campaign.observer.stage(title) as advance:
        found = [*known.values(), *reaches(rm, criteria, fresh, prompts, advance)]
    wanted = {finding.finding_id for finding in chosen}
    campaign.run.store_reaches(round_number, [one for one in found if one.finding_id in wanted], prompts)


def patch_round(campaign: OpenCampaign, round_number: int) -> PatchReport:
    """Train the RM of ``round_number`` + 1 on every train finding so far, unless it is there already."""
    if campaign.run.has_patch(round_number + 1):
        return campaign.run.patch_report(round_number + 1)
    from miner.patching.patch import patch  # which loads the trainer: seconds

    config, rm = campaign.config, require_patch(campaign, round_number)
    findings = _frozen_findings(campaign, f"patch-{round_number + 1}")
    with campaign.usage.timed("patch"), campaign.observer.stage(f"round {round_number}: patching") as advance:
        return campaign.run.publish_patch(
            round_number + 1,
            lambda out: patch(
                rm,
                campaign.world.by_split["train"],
                findings,
                config.patch,
                out=out,
                seed=config.seed + round_number,
                dtype=config.training_dtype,
                progress=advance,
            ),
        )


def _frozen_findings(campaign: OpenCampaign, stage: str) -> list[Finding]:
    """What the patch trains on, as the first process to begin it saw it."""
    findings = patch_findings(campaign, frozen_input(campaign.run, stage))
    later = len(patch_findings(campaign)) - len(findings)
    if later > 0:
        campaign.observer.note(
            f"{later} findings came after this patch was begun, and are not for it. "
            f"To take them in, delete {campaign.run.stage_place(stage)} before you run it again"
        )
    return findings


def run_cycle(campaign: OpenCampaign) -> list[MiningReport]:
    """Evaluate, then mine, patch and evaluate again, ``rounds`` times: what each stage of attacks came to, in order.

    Mining comes before the first evaluation where an attack starts from what was mined. Errors that can be known at the
    beginning are raised there: see ``require_cycle``.
    """
    require_cycle(campaign)
    reports = []
    if any(Attacked(section=one, prompts=()).is_seeded for one in campaign.config.evaluated_attacks(0)):
        reports.append(mine_round(campaign, 0))
    reports.append(evaluate_round(campaign, 0))
    for round_number in range(campaign.config.rounds):
        reports.append(mine_round(campaign, round_number))
        rm = campaign.models.rm(round_number)
        if not rm.is_trainable:
            campaign.observer.note(f"{rm.name} cannot be retrained here. {EXPORT}")
            break
        if campaign.config.patch.findings_share and not patch_findings(campaign):
            campaign.observer.note(f"round {round_number}: no train finding that a patch may see; nothing to patch")
            break
        patch_round(campaign, round_number)
        reports.append(evaluate_round(campaign, round_number + 1))
    return reports
