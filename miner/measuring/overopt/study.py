"""A study: runs over seeds and KL weights against one reward model, in a campaign's folder under ``overopt/``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from corpus.records import Prompt
from miner.campaigns.campaign import Campaign
from miner.checkpoints.devices import first_device
from miner.config.campaign import LanguageModelSection
from miner.errors import ConfigError
from miner.judging.criteria import Criteria, criteria_for_scorer
from miner.judging.gold import Gold
from miner.language_models import LanguageModel, is_ngram_model, load_language_model
from miner.language_models.hidden_states import read_texts
from miner.measuring.best_of_n import Pool
from miner.measuring.clean_cloud import CleanCloud
from miner.measuring.overopt.log import study_name
from miner.measuring.overopt.measuring import HeldOutEvaluation, Metrics
from miner.measuring.overopt.pools import PoolSettings, draw_pools
from miner.measuring.overopt.results import RunInfo
from miner.measuring.overopt.rl import RlRun, Watch
from miner.measuring.overopt.settings import RlSettings
from miner.rewards.base import Pair, RewardModel, Scorer
from miner.worlds.world import spread

CLEAN_TEXTS = 800


@dataclass(frozen=True, kw_only=True)
class Study:
    """``target`` is optimised against; ``gold`` and ``second`` only measure the answers."""

    campaign: Campaign
    policy_source: str
    target: Scorer
    settings: RlSettings
    gold: Gold | None = None
    second: Scorer | None = None
    round: int = 0
    place: Path | None = None  # of its runs; left out, in the campaign's folder

    @property
    def folder(self) -> Path:
        if self.place is not None:
            return self.place
        return self.campaign.folder / study_name(self.round)

    @cached_property
    def policy(self) -> LanguageModel:
        return load_language_model(self.policy_source, device=first_device(self.campaign.world.rm.device))

    @cached_property
    def criteria(self) -> Criteria:
        return criteria_for_scorer(
            self.target, self.campaign.world.by_split["calibration"], self.campaign.config.criteria.quantile
        )

    @cached_property
    def metrics(self) -> Metrics:
        world = self.campaign.world
        calibration, quantile = world.by_split["calibration"], self.campaign.config.criteria.quantile
        reference_lm = clean_space = None
        if world.reference_lm is not None:
            reference_lm = self._reading_lm(world.reference_lm)
            texts = [subject.response for subject in world.clean["calibration"]][:CLEAN_TEXTS]
            clean_space = CleanCloud.of(read_texts(reference_lm, texts).hidden)
        return Metrics(
            rm=self.target,
            criteria=self.criteria,
            gold=self.gold,
            second=self.second,
            second_criteria=None if self.second is None else criteria_for_scorer(self.second, calibration, quantile),
            reference_lm=reference_lm,
            clean_space=clean_space,
            certifier=self.campaign.models.certifier,
        )

    def _reading_lm(self, section: LanguageModelSection) -> LanguageModel:
        """The LM whose likelihoods and hidden states are read: the reference LM, or docs world's neural one where that
        counts n-grams."""
        if is_ngram_model(Path(section.source)):
            from miner.worlds.docs.models import reading_lm

            section = reading_lm(self.campaign.config, observer=self.campaign.observer)
        return load_language_model(section.source, device=first_device(self.campaign.world.rm.device))

    def evaluation(self, settings: RlSettings) -> HeldOutEvaluation:
        """Held-out prompts that the RM can read, the same for every run of the study."""
        pool = self._readable(self.campaign.world.by_split["held_out"])
        n = min(settings.eval_prompts, len(pool))
        return HeldOutEvaluation(
            policy=self.policy,
            prompts=spread(pool, n, seed=self.campaign.config.seed),
            metrics=self.metrics,
            max_new_tokens=settings.max_new_tokens,
            min_new_tokens=settings.min_new_tokens,
            samples=settings.eval_samples,
            seed=settings.seed,
        )

    def run(self, *, kl: float, seed: int, steps: int | None = None, watch: Watch = lambda *_: None) -> RunInfo:
        """The run of one KL weight and seed: made, resumed or read."""
        settings = replace(self.settings, kl=kl, seed=seed, steps=steps or self.settings.steps)
        pool = self._readable(self.campaign.world.by_split["train"])
        name = run_name(kl, seed)
        return RlRun(
            name=name,
            folder=self.folder / name,
            policy_source=self.policy_source,
            ranking=getattr(self.target, "rewards", self.target.exact_rewards),  # as fast as it gives them
            prompts=spread(pool, min(settings.train_prompts, len(pool)), seed=self.campaign.config.seed),
            evaluation=self.evaluation(settings),
            settings=settings,
            models=self.models,
        ).run(watch)

    def pools(self, *, n: int, prompts: int, progress: Callable[[int, int], None] = lambda *_: None) -> dict[str, Pool]:
        """``n`` samples of the reference policy for each of the first held-out prompts; none without gold."""
        if self.gold is None:
            return {}
        evaluated = self.evaluation(replace(self.settings, eval_prompts=prompts)).prompts
        return draw_pools(
            self.folder,
            policy=self.policy,
            prompts=evaluated,
            rm=self.target,
            gold=self.gold,
            nonsense=self.metrics.nonsense,
            settings=PoolSettings(
                n=n, prompts=prompts, max_new_tokens=self.settings.max_new_tokens, seed=self.settings.seed
            ),
            identity=[f"{key} {value}" for key, value in sorted(self.models.items())],
            progress=progress,
        )

    @cached_property
    def models(self) -> dict[str, str]:
        """Fingerprints of all that decides a row."""
        return {
            "rm": self.target.fingerprint,
            "policy": self.policy.fingerprint,
            "gold": self.gold.fingerprint if self.gold else "",
            "second": self.second.fingerprint if self.second else "",
            "checks": self.campaign.models.certifier.identity,
            "data": self.campaign.world.data_hash,
        }

    def _readable(self, prompts: Sequence[Prompt]) -> tuple[Prompt, ...]:
        room = self.policy.max_length - self.settings.max_new_tokens
        fits = [p for p in prompts if len(self.policy.prompt_ids(p.conversation)) <= room]
        if isinstance(self.target, RewardModel):
            fits = [p for p in fits if self.target.takes(Pair(p.conversation, p.reference or ""))]
        if not fits:
            raise ConfigError(
                f"no prompt leaves room for {self.settings.max_new_tokens} new tokens. "
                f"Try: --set overopt.max_new_tokens={max(1, self.settings.max_new_tokens // 2)}"
            )
        return tuple(fits)


def run_name(kl: float, seed: int) -> str:
    return f"rl-kl{kl:g}-seed{seed}"
