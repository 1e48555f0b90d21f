"""From a campaign file to a study: the models it names, docs world's own where that is the world, and its runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from miner.campaign import Campaign
from miner.config import CampaignConfig, OveroptSection, parse_config
from miner.errors import ConfigError
from miner.mining import MiningReport
from miner.overopt.ensemble import Ensemble
from miner.overopt.gold import Gold, OverlapGold, RewardGold, Scorer
from miner.overopt.log import require_study
from miner.overopt.measuring import SampleRow, standing
from miner.overopt.mining import mine_checkpoints
from miner.overopt.rl import checkpoints_of
from miner.overopt.settings import RlSettings
from miner.overopt.study import Study
from miner.overopt.summary import StudySummary, summarise_study
from miner.progress import Observer
from miner.rewards.opening import open_reward_model
from miner.rm_tables import rm_table_of
from miner.world import open_world, read_prompts

DOCS, NONE = "docs", "none"
Live = Callable[[str, int, int, Sequence[SampleRow]], None]
"""Called at every measurement with (run, step, of all, its rows)."""


def run_study(
    config: CampaignConfig,
    round_number: int,
    *,
    observer: Observer,
    live: Live | None = None,
    against: Path | None = None,
) -> StudySummary:
    """Make, resume or read every run that the campaign file asks for, mine with their checkpoints where it asks for
    that, and say what they show, beside the study in ``against`` if there is one.

    Raises:
        ConfigError: no policy, an option that does not fit another, or no study in ``against``; and as ``Campaign``.
    """
    if against is not None:
        require_study(against)
    study = open_study(config, round_number, observer=observer)
    section = config.overopt
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
        _mine(config, study, observer)
    return summarise_study(study.folder, against=against)


def _mine(config: CampaignConfig, study: Study, observer: Observer) -> None:
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
                )
            )
        else:
            observer.note(f"{run.parent.name} has no checkpoints left to mine with")
    if reports:
        total = MiningReport.total(reports)
        observer.note(f"attack rl: {total.found} of {total.made + total.skipped} attempts found winning nonsense")


def _train(study: Study, kl: float, seed: int, observer: Observer, live: Live | None) -> None:
    with observer.stage(f"optimising the policy, KL weight {kl:g}, seed {seed}") as advance:

        def watch(step: int, of: int, rows: Sequence[SampleRow]) -> None:
            advance(step, of)
            if live is not None:
                live(f"kl {kl:g} seed {seed}", step, of, rows)

        info = study.run(kl=kl, seed=seed, watch=watch)
    if info.status == "stopped":
        observer.note(f"{info.name} stopped: {info.reason}. Last good checkpoint: {info.last_good or 'none'}")


def open_study(config: CampaignConfig, round_number: int, *, observer: Observer) -> Study:
    """The study of a campaign file against its RM of ``round_number``; nothing is run yet."""
    section, docs = config.overopt, config.data.world == DOCS
    policy = config.policy.source if config.policy else None
    if policy is None and docs:
        from miner.docsworld.studio import restating_policy

        policy = restating_policy(config, observer=observer).source
    if policy is None:
        raise ConfigError("which policy is to be optimised? Give a causal LM: --policy FOLDER or a hub id")
    campaign = Campaign(config, observer)
    second = _scorer(section.second or (DOCS if docs else NONE), config, observer)
    gold: Gold | None
    named = section.gold or (DOCS if docs else NONE)
    if named == DOCS:
        gold = OverlapGold()
    else:
        rm = _scorer(named, config, observer)
        gold = None if rm is None else RewardGold(rm=rm)
    target: Scorer = campaign.rm(round_number)
    if section.target != "rm":
        if second is None:
            raise ConfigError(f"target {section.target!r} mixes the RM with an independent one: give --second")
        calibration, quantile = campaign.world.by_split["calibration"], config.criteria.quantile
        members = tuple((one, standing(one, calibration, quantile)) for one in (target, second))
        target = Ensemble(members=members, mix=section.target, weight=section.weight)
    return Study(
        campaign=campaign,
        policy_source=policy,
        target=target,
        settings=_settings(section, config.seed),
        gold=gold,
        second=second,
        round=round_number,
    )


def _scorer(named: str, config: CampaignConfig, observer: Observer) -> Scorer | None:
    """The RM or the mean of RMs that an option names: of any kind where a campaign file says how it is asked."""
    if named == NONE:
        return None
    found: list[Scorer] = []
    for source in filter(None, (one.strip() for one in named.split(","))):
        if source == DOCS:
            from miner.docsworld.studio import second_rm

            found.append(second_rm(config, observer=observer))
        else:
            found.append(_opened(source, config))
    if len(found) == 1:
        return found[0]
    calibration = open_world(config, observer).by_split["calibration"]
    return Ensemble(members=tuple((rm, standing(rm, calibration, config.criteria.quantile)) for rm in found))


def _opened(source: str, config: CampaignConfig) -> Scorer:
    given = parse_config(
        {"out": "", "data": {"world": DOCS}, "rm": {"device": config.rm.device, **rm_table_of(source)}}, where=source
    )
    prompts = read_prompts(config) if config.data.world is None else ()
    return open_reward_model(given.rm, {p.conversation: p.reference for p in prompts if p.reference is not None})


def _settings(section: OveroptSection, seed: int) -> RlSettings:
    shared = RlSettings.__dataclass_fields__.keys() - {"kl", "seed"}
    return RlSettings(**{name: getattr(section, name) for name in shared}, kl=section.kl[0], seed=seed)
