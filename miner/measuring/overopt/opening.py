"""From a campaign file to a study: the models it names, docs world's own where that is the world, and its runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from miner.campaigns.campaign import Campaign
from miner.config.campaign import CampaignConfig, OveroptSection
from miner.errors import ConfigError
from miner.judging.criteria import criteria_for_scorer
from miner.judging.ensemble import Ensemble
from miner.judging.gold import ContrastGold, Gold, RewardGold
from miner.measuring.overopt.log import RunLog, require_study
from miner.measuring.overopt.mining import mine_checkpoints
from miner.measuring.overopt.results import StudySummary
from miner.measuring.overopt.rl import checkpoints_of
from miner.measuring.overopt.rows import SampleRow
from miner.measuring.overopt.settings import RlSettings
from miner.measuring.overopt.study import Study, run_name
from miner.measuring.overopt.summary import summarise_study
from miner.measuring.scorers import DOCS, NONE, open_scorer
from miner.progress import Observer
from miner.rewards.base import Scorer
from miner.searching.mining import MiningReport
from miner.searching.shards import WHOLE, Shard

OnSamples = Callable[[str, int, int, Sequence[SampleRow]], None]
"""Called at every measurement with (run, step, of all, its rows)."""


def run_study(
    config: CampaignConfig,
    round_number: int,
    *,
    observer: Observer,
    live: OnSamples | None = None,
    against: Path | None = None,
    shard: Shard = WHOLE,
) -> StudySummary:
    """Make, resume or read every run that the campaign file asks for, mine with their checkpoints where it asks for
    that, and say what they show, beside the study in ``against`` if there is one. Processes with a ``shard`` share the
    mining, once one process has trained.

    Raises:
        ConfigError: no policy, an option that does not fit another, or no study in ``against``; and as ``Campaign``.
    """
    if against is not None:
        require_study(against)
    study = open_study(config, round_number, observer=observer)
    section = config.overopt
    if shard.count > 1:
        _require_trained(study, config)
    if section.method != "bon" or study.gold is not None:
        with observer.stage("loading the policy and what measures it"):
            study.evaluation(study.settings)
    if section.method != "bon":
        for kl in section.kl:
            for seed in range(config.seed, config.seed + section.seeds):
                _train(study, kl, seed, observer, live)
    if section.method != "rl":
        if study.gold is None:
            observer.note("best-of-n needs gold to show a curve: --gold")
        with observer.stage("drawing pools for best-of-n") as advance:
            study.pools(n=section.pool, prompts=section.pool_prompts, progress=advance)
    if section.mine:
        _mine(config, study, observer, shard)
    with observer.stage("looking for the onset in every run"):
        return summarise_study(study.folder, against=against)


def _require_trained(study: Study, config: CampaignConfig) -> None:
    """Refuse to share the mining with checkpoints that are not there yet: every process would train them.

    Raises:
        ConfigError: a run is not over.
    """
    section = config.overopt
    if section.method == "bon":
        return
    for kl in section.kl:
        for seed in range(config.seed, config.seed + section.seeds):
            log, settings = RunLog(study.folder / run_name(kl, seed)), study.settings
            if not (log.exists() and log.info().is_over(steps=settings.steps, max_kl=settings.max_kl)):
                raise ConfigError(
                    f"--shard shares what is mined with checkpoints, and {run_name(kl, seed)} is not trained yet. "
                    "Train first, in one process: the same command without --shard and with --mine 0"
                )


def _mine(config: CampaignConfig, study: Study, observer: Observer, shard: Shard) -> None:
    section = config.overopt
    reports = []
    for run in sorted(study.folder.glob("*/run.json")):
        if checkpoints := checkpoints_of(run.parent):
            reports.append(
                mine_checkpoints(
                    config,
                    checkpoints,
                    n=section.mine_samples,
                    prompts=section.mine,
                    max_new_tokens=section.max_new_tokens,
                    round_number=study.round,
                    observer=observer,
                    shard=shard,
                )
            )
        else:
            observer.note(f"{run.parent.name} has no checkpoints left to mine with")
    if reports:
        total = MiningReport.total(reports)
        observer.note(f"attack rl: {total.found} of {total.made + total.skipped} attempts found winning nonsense")


def _train(study: Study, kl: float, seed: int, observer: Observer, live: OnSamples | None) -> None:
    with observer.stage(f"optimising the policy, KL weight {kl:g}, seed {seed}") as advance:

        def watch(step: int, of: int, rows: Sequence[SampleRow]) -> None:
            advance(step, of)
            if live is not None and rows:
                live(f"kl {kl:g} seed {seed}", step, of, rows)

        info = study.run(kl=kl, seed=seed, watch=watch)
    if info.status == "stopped":
        observer.note(f"{info.name} stopped: {info.reason}. Last good checkpoint: {info.last_good or 'none'}")


def open_study(config: CampaignConfig, round_number: int, *, observer: Observer) -> Study:
    """The study of a campaign file against its RM of ``round_number``; nothing is run yet."""
    section, docs = config.overopt, config.data.world == DOCS
    policy = config.policy.source if config.policy else None
    if policy is None and docs:
        from miner.worlds.docs.models import restating_policy

        policy = restating_policy(config, observer=observer).source
    if policy is None:
        raise ConfigError("which policy is to be optimised? Give a causal LM: --policy FOLDER or a hub id")
    campaign = Campaign(config, observer)
    second = open_scorer(section.second or (DOCS if docs else NONE), config, observer)
    gold: Gold | None
    named = section.gold or (DOCS if docs else NONE)
    if named == DOCS:
        gold = ContrastGold.of(campaign.world.by_split["held_out"])
    else:
        rm = open_scorer(named, config, observer)
        gold = None if rm is None else RewardGold(rm=rm)
    target: Scorer = campaign.models.rm(round_number)
    if section.target != "rm":
        others = [open_scorer(one, config, observer) for one in section.members] or [second]
        if None in others:
            raise ConfigError(
                f"target {section.target!r} mixes the RM with others: give overopt.members=['RM', …], or --second"
            )
        calibration, quantile = campaign.world.by_split["calibration"], config.criteria.quantile
        members = [
            (one, criteria_for_scorer(one, calibration, quantile)) for one in (target, *others) if one is not None
        ]
        target = Ensemble(members=tuple(members), mix=section.target, weight=section.weight)
    elif section.members:
        raise ConfigError('overopt.members are mixed into the target: give overopt.target="mean", "min" or "variance"')
    return Study(
        campaign=campaign,
        policy_source=policy,
        target=target,
        settings=_settings(section, config.seed),
        gold=gold,
        second=second,
        round=round_number,
    )


def _settings(section: OveroptSection, seed: int) -> RlSettings:
    shared = RlSettings.__dataclass_fields__.keys() - {"kl", "seed"}
    return RlSettings(**{name: getattr(section, name) for name in shared}, kl=section.kl[0], seed=seed)
