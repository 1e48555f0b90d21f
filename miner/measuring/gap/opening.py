"""From what a user names to what `rmminer gap` measures; docs world brings an RM, a policy and facts of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus.records import Prompt
from miner.config.campaign import CampaignConfig
from miner.errors import ConfigError
from miner.judging.gold import Gold
from miner.judging.people_gold import PEOPLE, PeoplesGold, peoples_scores, reviews_of
from miner.measuring.diversity.checkpoints import evenly
from miner.measuring.diversity.policy import MeasuredSource
from miner.measuring.diversity.run_checkpoints import run_info
from miner.measuring.diversity.sampling import SamplePlan
from miner.measuring.gap.facts import Facts, docs_facts, read_facts
from miner.measuring.gap.report import GapReport
from miner.measuring.gap.run import GapRequest, measure_gap
from miner.measuring.gap.series import require_choice
from miner.measuring.measurement_inputs import (
    checkpoint_sources,
    docs_policy,
    docs_rm,
    gold_of,
    n_checkpoints,
    prompts_of,
    run_rm,
)
from miner.progress import Observer
from miner.rewards.base import RewardModel
from miner.rewards.opening import open_reward_model
from miner.worlds.opening import docs_pairs, read_references


@dataclass(frozen=True, kw_only=True)
class NamedGap:
    """A measurement of the gap by names: ``n_prompts`` held-out prompts of the config's data (0: facts alone) are put
    to ``policy`` (folder, hub id, "docs"), or to at most ``at_most`` of ``checkpoints`` (a run's folder of overopt, or
    JSONL).

    ``rm_named``: the user named the config's RM; else the RM is that of the run which ``checkpoints`` are of.
    """

    config: CampaignConfig
    plan: SamplePlan
    folder: Path
    policy: str | None = None
    checkpoints: Path | None = None
    at_most: int | None = None
    gold_rm: str | None = None
    facts: Path | None = None
    n_prompts: int = 64
    rm_named: bool = False

    def __post_init__(self) -> None:
        if self.checkpoints is not None and not self.n_prompts:
            raise ConfigError(
                "checkpoints are compared on prompts; got --prompts 0. Give 5 or more, or no --checkpoints"
            )

    @property
    def n_policies(self) -> int:
        n = 1 if self.checkpoints is None else n_checkpoints(self.checkpoints, self.policy)
        return min(n, self.at_most or n)

    def asked(self, observer: Observer) -> tuple[Prompt, ...]:
        return prompts_of(self.config, self.n_prompts, observer=observer) if self.n_prompts else ()


def run_gap(named: NamedGap, *, observer: Observer, command: str) -> GapReport:
    """The report, written to the folder that was named.

    Raises:
        ConfigError, DataError, ModelError, TooLongError: from what was asked for, the data and the models.
    """
    config, place = named.config, named.checkpoints
    asked = named.asked(observer)
    stated = read_facts(named.facts) if named.facts else None
    policies = _policies(named, observer) if asked else []
    if asked:
        require_choice(policies, asked, named.plan)  # before anything is trained for gold
    rm = _reward_model(config, None if named.rm_named else run_rm(place), observer)
    request = GapRequest(
        policies=policies,
        prompts=asked,
        plan=named.plan,
        gold=_gold(named, asked, observer),
        facts=stated or _own_facts(config, observer),
        calibration=prompts_of(config, None, "calibration", observer=observer),
        quantile=config.criteria.quantile,
        folder=named.folder,
        device=config.rm.device,
        run=run_info(place) if place is not None and place.is_dir() else None,
    )
    report = measure_gap(rm, request, observer=observer, command=command)
    report.write(named.folder)
    return report


def _gold(named: NamedGap, asked: Sequence[Prompt], observer: Observer) -> Gold | None:
    """As named; people's scores are those in the corpus of the folder, or of the run that it lies in."""
    if named.gold_rm != PEOPLE:
        return gold_of(named.gold_rm, asked, named.config, observer)
    return PeoplesGold(people=peoples_scores(reviews_of([named.folder, named.folder.absolute().parent])))


def _reward_model(config: CampaignConfig, kept: str | None, observer: Observer) -> RewardModel:
    """The RM that the config describes; ``kept``: the folder of the one to take instead of its source."""
    references = read_references(config, observer) if config.data.world is None else {}
    source = kept or config.rm.source or docs_rm(config, observer)
    with observer.stage("loading the reward model, hashing its weights"):
        return open_reward_model(config.rm, references, source=source)


def _policies(named: NamedGap, observer: Observer) -> Sequence[MeasuredSource]:
    """The checkpoints at a place, a policy named beside a list in front of it; else the one policy."""
    place, plan = named.checkpoints, named.plan
    if place is None:
        return [_policy(named.policy, named.config, observer)]
    found = checkpoint_sources(place, named.config, observer, samples=plan.n, seed=plan.seed)
    if named.policy is not None and not place.is_dir():
        found = [_policy(named.policy, named.config, observer), *found]
    return evenly(found, named.at_most)


def _policy(source: str | None, config: CampaignConfig, observer: Observer) -> MeasuredSource:
    if source is None and config.data.world != "docs":
        raise ConfigError("no policy to choose from. Give one: --policy FOLDER; or --prompts 0 for facts alone")
    if source in (None, "docs"):
        return MeasuredSource(label="docs policy", policy=docs_policy(config, observer))
    return MeasuredSource(label=Path(str(source)).name, policy=source)


def _own_facts(config: CampaignConfig, observer: Observer) -> Facts:
    """Docs world's facts on prompts that its RM has not seen; other data proves none."""
    if config.data.world != "docs":
        return Facts(facts=(), abstained={})
    with observer.stage("proving facts"):
        return docs_facts(docs_pairs("held_out", "calibration"), seed=config.seed)
