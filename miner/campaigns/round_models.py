"""The models of a campaign: the RM of each round with the bar it sets, and what judges and samples beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, get_args

from miner.campaigns.certifier import NO_REFERENCE_LM, build_certifier, checks_of, require_sight
from miner.campaigns.run_folder import RunFolder
from miner.campaigns.usage import Usage
from miner.checkpoints.devices import first_device, resolve_device
from miner.config.campaign import CampaignConfig, stored_form
from miner.config.reward_model import DType, RewardModelSection
from miner.errors import ConfigError
from miner.judging.checks import Certifier, Check
from miner.judging.criteria import Criteria, bar_setting_pairs, criteria_of, data_hash_of
from miner.patching.trainable import trainable
from miner.progress import Observer
from miner.rewards.base import RewardModel
from miner.rewards.compute.refusals import Readable, advice, why
from miner.searching.version import package_version
from miner.worlds.world import World

if TYPE_CHECKING:
    from miner.language_models.policies import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingDtype:
    """The dtype in which an RM ranks, as its ``ranking_dtype`` says it."""

    ranking_dtype: str


@dataclass(kw_only=True)
class RoundModels:
    """Loads them as they are asked for; what was measured of them once lies in the run's folder."""

    config: CampaignConfig
    world: World
    run: RunFolder
    usage: Usage
    observer: Observer
    held: tuple[int, RewardModel] | None = None
    """The one RM in memory, with its round: they can be large."""
    _criteria: dict[int, Criteria] = field(default_factory=dict)

    def rm(self, round_number: int) -> RewardModel:
        """The RM after ``round_number`` patches, which takes the place of the one that is ``held``."""
        if self.held is None or self.held[0] != round_number:
            self.source(round_number)  # what is not there is refused before the other is let go
            self.held = None
            with self.observer.stage(f"round {round_number}: loading the reward model, hashing its weights"):
                self.held = round_number, self._open_round(round_number)
        return self.held[1]

    def source(self, round_number: int) -> str:
        """The folder, hub id or address of a round's RM.

        Raises:
            ConfigError: that round has not been patched yet.
        """
        if round_number == 0:
            kept = self.run.kept_model(0)
            return str(kept if kept.is_dir() else self.world.rm.source)
        if not self.run.has_patch(round_number):
            raise ConfigError(f"{self.run.path} has no patched RM of round {round_number}. Patch first: rmminer patch")
        return str(self.run.kept_model(round_number))

    def open_rm(self, source: str) -> RewardModel:
        """The RM of this campaign's kind that lies in ``source``, beside the one that is held."""
        return self._open(self.world.rm, source)

    def beside(self, round_number: int) -> RewardModel:
        """The RM of a round, beside the one that is held: that one itself where it is of this round."""
        return self.held[1] if self.held and self.held[0] == round_number else self._open_round(round_number)

    def between(self, round_number: int, share: float) -> RewardModel:
        """The RM that lies the ``share`` of the way from the weights before the last patch to those of
        ``round_number``: 0 is the RM before, 1 the patched one. It stands beside the one that is held."""
        from miner.checkpoints.blending import blend

        rm, before = self._open_round(round_number), self._open_round(round_number - 1)
        blend(trainable(rm).model, trainable(before).model, share)
        return rm

    def _open(self, section: RewardModelSection, source: str) -> RewardModel:
        from miner.rewards.opening import open_reward_model

        return open_reward_model(section, self.world.references, source=source)

    @property
    def keeps_ranking_dtype(self) -> bool:
        """Whether the RM ranks in the dtype that was the fastest when the run began, and not in one asked for."""
        return self.world.rm.dtype == "auto" and self.world.rm.kind != "remote"

    def _open_round(self, round_number: int) -> RewardModel:
        """With ``auto`` in the dtype that was the fastest when the run began, on this kind of device.

        Attempts are named after it: a timing that falls out otherwise must not make all of them anew.
        """
        section, source = self.world.rm, self.source(round_number)
        if not self.keeps_ranking_dtype:
            return self._open(section, source)
        fresh: list[RewardModel] = []

        def chosen() -> RankingDtype:
            fresh.append(self._open(section, source))
            return RankingDtype(ranking_dtype=fresh[0].ranking_dtype)

        device = resolve_device(first_device(section.device)).type
        source_of_run = stored_form(self.config)["rm"].get("source")  # the same where a run was moved with its RM
        made_from = [round_number, source_of_run, device, section.quantise, section.confirm_dtype]
        kept = self.run.once("ranking", made_from, RankingDtype, chosen).ranking_dtype
        if fresh and fresh[0].ranking_dtype == kept:
            return fresh[0]
        name = kept.rpartition(":")[2]  # of "int8:bfloat16" the dtype that products are in
        return self._open(section.model_copy(update={"dtype": name if name in get_args(DType) else "auto"}), source)

    def criteria(self, round_number: int) -> Criteria:
        """What winning means against the RM of ``round_number``: its own clean references set the bar."""
        if round_number not in self._criteria:
            clean = self.bar_setting_pairs(round_number)
            rm, quantile = self.rm(round_number), self.config.criteria.quantile
            of_rm = [rm.fingerprint, rm.pipeline_hash, rm.reward_dtype, rm.ranking_dtype]
            made_from = [package_version(), *of_rm, quantile, data_hash_of(clean.pairs)]

            def measured() -> Criteria:
                title = f"round {round_number}: rewards of clean answers"
                with self.usage.timed("criteria"), self.observer.stage(title) as advance:
                    return criteria_of(rm, clean, quantile=quantile, progress=advance)

            found = self.run.once("criteria", made_from, Criteria, measured)
            if clean.refusals:
                said = f"{len(clean.refusals)} clean references set no bar for {rm.name}: {why(clean.refusals)}"
                self.observer.note(". ".join(filter(None, (said, advice(clean.refusals)))))
            self._criteria[round_number] = found
        return self._criteria[round_number]

    def bar_setting_pairs(self, round_number: int) -> Readable:
        """The clean answers that set the bar of a round's RM. Errors as ``World.require_clean`` and the function of
        this name."""
        self.world.require_clean()
        return bar_setting_pairs(self.rm(round_number), self.world.by_split["calibration"])

    @cached_property
    def checks(self) -> tuple[Check, ...]:
        """The checks, not calibrated yet. Errors as ``checks_of``."""
        return checks_of(self.config, self.world)

    @cached_property
    def certifier(self) -> Certifier:
        """The checks that certify nonsense, calibrated once a run."""
        with self.usage.timed("calibrate"), self.observer.stage("calibrating the checks") as advance:
            certifier, left_out = build_certifier(self.config, self.world, self.checks, progress=advance, run=self.run)
            require_sight(certifier, self.config, self.world, self.run)
        for reason in left_out:
            self.observer.note(reason)
        if self.world.reference_lm is None:
            self.observer.note(NO_REFERENCE_LM)
        self._warn_of_kinship(certifier)
        return certifier

    def _warn_of_kinship(self, certifier: Certifier) -> None:
        from miner.campaigns.kinship import kinship
        from miner.judging.checks.order import Order

        for check in (calibrated.check for calibrated in certifier.checks):
            if isinstance(check, Order) and (why := kinship(self.rm(0), check.reference_lm)) is not None:
                self.observer.note(
                    f"the reference LM may be a relative of the RM: {why}. A certificate by a relative is worth "
                    "nothing; give an LM of another family"
                )

    @cached_property
    def policy(self) -> Policy | None:
        """The LM that attacks sample from, where the campaign names one."""
        section = self.world.policy
        if section is None:
            return None
        from miner.language_models.policies import open_policy

        with self.observer.stage("loading the policy"):
            return open_policy(section, device=first_device(self.world.rm.device))
