"""The attempts that an attack is tuned by: they have a corpus of their own, and are no results of the campaign."""

from __future__ import annotations

from collections.abc import Sequence

from corpus.records import Attempt, Finding, Prompt
from miner.campaigns.attacking import criteria_hash, driver_of, plans_of, pool_for
from miner.campaigns.opening import OpenCampaign
from miner.campaigns.planned import Attacked
from miner.config.campaign import AttackSection, StageSection
from miner.progress import Observer, Silent
from miner.searching.mining import run_plans
from miner.searching.version import code_version


def attempt_each(
    campaign: OpenCampaign, section: AttackSection, prompts: Sequence[Prompt], *, budget_queries: int
) -> list[Attempt]:
    """One attempt a prompt against the RM as given, in their order; those stored are read, the others made."""
    stage = StageSection(prompts=len(prompts), budget_queries=budget_queries)
    attacked = Attacked(section=section, prompts=prompts)
    starts = pool_for(campaign, 0, prompts[0].split, newest=0, name="tuning") if attacked.is_seeded else ()
    driver = driver_of(campaign, 0, seeds=starts)
    plans, store = plans_of(campaign, stage, attacked, 0, driver), campaign.run.tuning
    with campaign.usage.timed("tune"):
        run_plans(driver, plans, store, campaign.config, _WithoutStages(campaign.observer), title="")
    stored = {attempt.attempt_id: attempt for attempt in store.attempts()}
    return [stored[plan.attempt_id] for plan in plans]


def cost_identity(campaign: OpenCampaign, section: AttackSection) -> list[str]:
    """What makes costs of an attack comparable: RM, code, criteria."""
    criteria = criteria_hash(driver_of(campaign, 0), ascii_only=campaign.world.rm.ascii_only)
    return [campaign.models.rm(0).fingerprint, code_version(section.build()), criteria]


class _WithoutStages(Silent):
    """Passes findings and notes on, and keeps to itself where it is."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def found(self, finding: Finding) -> None:
        self._observer.found(finding)

    def note(self, text: str) -> None:
        self._observer.note(text)
