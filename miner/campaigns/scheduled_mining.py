"""Mining as a scheduler decides: generation after generation, each from what complete earlier ones found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from corpus import Follower
from corpus.records import Attempt, Finding, Prompt, digest
from miner.campaigns.attacking import driver_of, round_context
from miner.campaigns.opening import OpenCampaign
from miner.campaigns.planned import Attacked
from miner.campaigns.requirements import require_attacks
from miner.config.campaign import ScheduleSection
from miner.patching.findings import training_findings
from miner.rewards.base import Pair
from miner.rewards.compute.parts import exact_in_parts
from miner.searching.attempts import Plan, numbered_attempt
from miner.searching.mining import MiningReport, run_plans
from miner.searching.scheduling import Choice, Scheduler, difficulty_groups
from miner.searching.seeding import pool_of


def mine_scheduled(
    campaign: OpenCampaign, section: ScheduleSection, attacked: Sequence[Attacked], round_number: int
) -> MiningReport:
    """Generation after generation until the queries are spent; starts come from complete generations."""
    sections, prompts = [one.section for one in attacked], attacked[0].prompts
    require_attacks(campaign.models, attacked, round_number)
    driver = driver_of(campaign, round_number)
    scheduler = Scheduler(
        section=section,
        attacks=sections,
        prompts=prompts,
        group_of=difficulty_groups(prompts, _reference_rewards(campaign, round_number, prompts), section.groups),
        budget_queries=campaign.config.mine.budget_queries,
        least={one.name: one.build().min_budget for one in sections},
        seed=int(digest([campaign.config.seed, round_number, section.seed])[:8], 16),
    )
    older = [f for f in campaign.findings() if f.split == "train" and f.round < round_number]
    reports, stored = [], _StoredStage.of(campaign)
    while choices := scheduler.choose():
        seeds = pool_of(training_findings([*older, *scheduler.found], campaign.config.patch))
        driver = replace(driver, oracle=replace(driver.oracle, seeds=seeds))
        context = round_context(campaign, round_number, driver)
        by_name = {one.name: one.build() for one in sections}
        plans = [
            numbered_attempt(
                context,
                by_name[choice.arm.attack],
                (choice.prompt,),
                number=choice.number,
                budget=choice.arm.budget,
            )
            for choice in choices
        ]
        title = f"round {round_number}: mining, generation {scheduler.generation + 1}"
        with campaign.usage.timed(f"attack {round_number}"):
            reports.append(
                run_plans(
                    driver, plans, campaign.corpus, campaign.config, campaign.observer, title=title,
                    known=stored.attempts,
                )
            )  # fmt: skip
        stored.catch_up()
        scheduler.learn([stored.made(plan, choice) for plan, choice in zip(plans, choices, strict=True)])
    return MiningReport.total(reports)


@dataclass(slots=True)
class _StoredStage:
    """What the corpus holds of a campaign; every segment is read once, however many generations there are."""

    campaign_id: str
    new_attempts: Follower[Attempt]
    new_findings: Follower[Finding]
    attempts: dict[str, Attempt] = field(default_factory=dict)
    findings: dict[str, list[Finding]] = field(default_factory=dict)  # by attempt

    @classmethod
    def of(cls, campaign: OpenCampaign) -> _StoredStage:
        corpus = campaign.corpus
        stored = cls(campaign.campaign_id, corpus.follow(Attempt), corpus.follow(Finding))
        stored.catch_up()
        return stored

    def catch_up(self) -> None:
        self.attempts.update((one.attempt_id, one) for one in self.new_attempts.news())
        for one in self.new_findings.news():
            if one.campaign_id == self.campaign_id:
                self.findings.setdefault(one.attempt_id, []).append(one)

    def made(self, plan: Plan, choice: Choice) -> tuple[Choice, Attempt, list[Finding]]:
        attempt = self.attempts[plan.attempt_id]
        found = [
            one
            for one in self.findings.get(plan.attempt_id, [])
            if attempt.finding_ids is None or one.finding_id in attempt.finding_ids
        ]
        return choice, attempt, sorted(found, key=lambda one: one.finding_id)


def _reference_rewards(campaign: OpenCampaign, round_number: int, prompts: Sequence[Prompt]) -> dict[str, float]:
    rm = campaign.models.rm(round_number)
    pairs = {p.prompt_id: Pair(p.conversation, p.reference) for p in prompts if p.reference is not None}
    short = {prompt_id: pair for prompt_id, pair in pairs.items() if rm.takes(pair)}
    with campaign.observer.stage(f"round {round_number}: how hard each prompt is") as advance:
        rewards = exact_in_parts(rm, list(short.values()), advance)
    given = zip(short, rewards, strict=True)  # a judge may give none
    return {prompt_id: float(reward) for prompt_id, reward in given if np.isfinite(reward)}
