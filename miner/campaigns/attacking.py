"""Puts a campaign's attacks to work on prompts: the driver, what names an attempt, and where searches start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attacks import Carried, Seeds, SurrogateSwaps, known_attacks
from attacks.carried import CarriedAlong
from corpus.records import Split, digest
from miner.campaigns.carrying import carried_to, pool_of_carried
from miner.campaigns.opening import OpenCampaign
from miner.campaigns.planned import STARTS, Attacked
from miner.campaigns.requirements import require_attacks
from miner.campaigns.stage_starts import require_same_code
from miner.config.campaign import StageSection
from miner.patching.findings import training_findings
from miner.rewards.base import RewardModel
from miner.searching.attempts import Plan, RoundContext
from miner.searching.driver import Driver
from miner.searching.mining import MiningReport, run_plans, stage_plans
from miner.searching.oracle import CarriedTexts, Oracle
from miner.searching.seeding import Seed, SeedPool, pool_digest, pool_of


def attack(
    campaign: OpenCampaign,
    stage: StageSection,
    attacked: Sequence[Attacked],
    round_number: int,
    *,
    seeded_from: int,
    title: str,
) -> MiningReport:
    """Makes the stage's attempts that are not stored yet.

    Those that start from findings come last: the pool is what has been found by then, up to round ``seeded_from``.
    """
    require_attacks(campaign.models, attacked, round_number)
    reports = []
    for kind in (None, *STARTS):
        part = [one for one in attacked if one.starts_from is kind]
        for together in [part] if kind is not Carried else [[one] for one in part]:
            if together:
                driver = _driver_for(campaign, stage, together, round_number, seeded_from)
                plans = [plan for one in together for plan in plans_of(campaign, stage, one, round_number, driver)]
                if campaign.is_shared:
                    require_same_code(campaign.run, plans)
                with campaign.usage.timed(f"attack {round_number}"):
                    made = run_plans(
                        driver, plans, campaign.corpus, campaign.config, campaign.observer,
                        title=title, shard=campaign.shard,
                    )  # fmt: skip
                reports.append(made)
    return MiningReport.total(reports)


def _driver_for(
    campaign: OpenCampaign, stage: StageSection, together: Sequence[Attacked], round_number: int, seeded_from: int
) -> Driver:
    """The driver of attacks that start from things of one kind, which it is given."""
    first = together[0]
    prompts, section = first.prompts, first.section
    if first.starts_from is Seeds:
        split = prompts[0].split
        return driver_of(
            campaign, round_number, seeds=pool_for(campaign, round_number, split, newest=seeded_from, name=split)
        )
    if first.starts_from is SurrogateSwaps:
        return driver_of(campaign, round_number, surrogate=campaign.models.beside(0))
    attack = section.build()
    if isinstance(attack, CarriedAlong):
        budget = section.budget_queries or stage.budget_queries
        return driver_of(campaign, round_number, carried=carried_to(campaign, round_number, attack, prompts, budget))
    return driver_of(campaign, round_number)


def driver_of(
    campaign: OpenCampaign,
    round_number: int,
    *,
    seeds: Sequence[Seed] = (),
    carried: Mapping[str, CarriedTexts] | None = None,
    surrogate: RewardModel | None = None,
) -> Driver:
    """What searches against the RM of a round run in, with what some of them start from."""
    world, models, config = campaign.world, campaign.models, campaign.config
    splits: tuple[Split, ...] = ("train", "held_out")
    answers = {
        split: [(p.prompt_id, p.reference) for p in world.by_split[split] if p.reference is not None]
        for split in splits
    }
    length = {"max_new_tokens": world.policy.max_new_tokens} if world.policy else {}
    oracle = Oracle(
        rm=models.rm(round_number),
        policy=models.policy,
        answers=answers,
        seeds=seeds,
        carried=carried or {},
        surrogate=surrogate,
        **length,
    )
    return Driver(
        oracle=oracle,
        criteria=models.criteria(round_number),
        certifier=models.certifier,
        in_flight=config.in_flight,
        keep_queries=config.keep_queries,
    )


def criteria_hash(driver: Driver, *, ascii_only: bool) -> str:
    """Identity of all that decides an attempt's outcome beside its attack, RM and budget."""
    oracle, criteria = driver.oracle, driver.criteria
    return digest(
        [
            [criteria.quantile, criteria.data_hash, driver.certifier.identity],
            [oracle.policy.fingerprint, oracle.max_new_tokens] if oracle.policy else None,
            [oracle.rm.ranking_dtype, ascii_only],
            *([pool_digest(oracle.seeds)] if oracle.seeds else []),
            *([pool_of_carried(oracle.carried.values())] if oracle.carried else []),
            *([oracle.surrogate.fingerprint] if oracle.surrogate else []),
        ]
    )


def plans_of(
    campaign: OpenCampaign, stage: StageSection, attacked: Attacked, round_number: int, driver: Driver
) -> list[Plan]:
    """One attack's attempts in a stage, with what ``driver`` has to start from."""
    return stage_plans(round_context(campaign, round_number, driver), stage, [attacked.section], attacked.prompts)


def round_context(campaign: OpenCampaign, round_number: int, driver: Driver) -> RoundContext:
    """What all attempts of ``driver`` in this round have in common, the things that they start from included."""
    return RoundContext(
        campaign_id=campaign.campaign_id,
        round=round_number,
        rm=driver.oracle.rm,
        criteria_hash=criteria_hash(driver, ascii_only=campaign.world.rm.ascii_only),
        seed=campaign.config.seed,
    )


def pool_for(campaign: OpenCampaign, round_number: int, split: Split, *, newest: int, name: str) -> tuple[Seed, ...]:
    """Train findings up to round ``newest``, whichever split they are tried on, kept under ``name``: of several
    processes that begin a stage at once, the first one's pool counts for all.

    Those of this very round only from attacks that start from none: a search is not to feed on what the stage that
    it belongs to has made of older starts. Where the finds may be trained on, what the patch must not see is no
    start either.
    """
    fresh = {name for name, attack in known_attacks().items() if Seeds not in attack.needs}
    with campaign.observer.stage(f"round {round_number}: choosing texts to start from"):
        known = [
            f
            for f in campaign.findings()
            if f.split == "train" and f.round <= newest and (f.round < round_number or f.attack in fresh)
        ]
        if split == "train":
            known = training_findings(known, campaign.config.patch)
        if known:
            kept = campaign.run.once(
                f"seeds-{round_number}-{name}", [round_number, name], SeedPool, lambda: SeedPool(pool_of(known))
            )
            return kept.seeds
    campaign.observer.note("no findings on train prompts yet to start from: mine first")
    return ()
