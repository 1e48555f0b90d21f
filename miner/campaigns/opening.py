"""A campaign, looked at or opened: its config, its world, the folder it is kept in, and its models."""

from __future__ import annotations

from pathlib import Path

from corpus import Corpus
from corpus.records import Attempt, Finding, Split, digest
from miner.campaigns.round_models import RoundModels
from miner.campaigns.run_folder import RunFolder
from miner.campaigns.stage_starts import evaluated_view
from miner.campaigns.usage import Usage
from miner.config.campaign import CampaignConfig
from miner.data import each_split
from miner.errors import ConfigError
from miner.files import require_writable
from miner.judging.checks import require_known
from miner.progress import Observer, Silent
from miner.rewards.base import RewardModel
from miner.searching.mining import require_budgets
from miner.searching.shards import WHOLE, Shard
from miner.worlds.opening import open_world
from miner.worlds.world import World


class CampaignView:
    """A campaign in its world, and what its folder holds of it; nothing is written there.

    Raises:
        ResumeError: the folder was made with another RM, pipeline, data, seed, criteria, checks or patch.
        ConfigError, ModelError: from what the config names.
    """

    def __init__(self, config: CampaignConfig, observer: Observer, *, world: World, run: RunFolder, usage: Usage):
        self.config, self.observer, self.world, self.run, self.usage = config, observer, world, run, usage
        self.models = RoundModels(config=config, world=world, run=run, usage=usage, observer=observer)
        rm = self.models.rm(0)
        _require_tuned_for(rm, config)
        self.identity = {
            "rm_fingerprint": rm.fingerprint,
            "pipeline_hash": rm.pipeline_hash,
            "data_hash": digest([self.world.data_hash, each_split(self.world.prompts)]),
            "config": config.fixed_digest(),
        }
        self.campaign_id = digest(self.identity)
        run.require_own(self.identity)

    @property
    def folder(self) -> Path:
        return self.run.path

    @property
    def corpus(self) -> Corpus:
        return self.run.corpus

    def findings(self, view: Corpus | None = None) -> list[Finding]:
        """Those of this campaign's stored attempts (in ``view``): its corpus may hold others', and what a kill left."""
        corpus = view or self.corpus
        return [finding for finding in corpus.settled_findings() if finding.campaign_id == self.campaign_id]

    def attempts_of(self, round_number: int, split: Split) -> list[Attempt]:
        """Of each attack those made with the code and criteria of its newest: no two kinds are counted together. Of an
        evaluation that processes shared, what it held when it ended."""
        view = evaluated_view(self.run, round_number) if split == "held_out" else None
        return self.attempts_in(view or self.corpus, round_number, split)

    def attempts_in(self, corpus: Corpus, round_number: int, split: Split) -> list[Attempt]:
        """``attempts_of`` in this corpus, or view of one."""
        mine = [
            attempt
            for attempt in corpus.attempts()
            if (attempt.campaign_id, attempt.round, attempt.split) == (self.campaign_id, round_number, split)
        ]
        newest = {attempt.attack: (attempt.code_version, attempt.criteria_hash) for attempt in mine}
        return [a for a in mine if (a.code_version, a.criteria_hash) == newest[a.attack]]


class OpenCampaign(CampaignView):
    """Opens or resumes the campaign of ``config`` in its folder.

    More prompts, other attacks or budgets may join it later; what decides the meaning of its rows may not change.
    ``resumes_with`` is what its ``campaign.toml`` is to say instead of ``config``; ``shard`` is which of a stage's
    attempts this process makes first. Errors as ``require_startable``, ``open_world`` and ``CampaignView``.
    """

    def __init__(
        self,
        config: CampaignConfig,
        observer: Observer | None = None,
        *,
        resumes_with: CampaignConfig | None = None,
        shard: Shard = WHOLE,
    ) -> None:
        require_startable(config)
        self._resumes_with, self.shard = resumes_with or config, shard
        run = RunFolder(Path(config.out))
        run.require_writable()
        world = open_world(config, observer or Silent())
        if config.data.world is not None and config.rm.source is None:
            run.keep_model(Path(str(world.rm.source)))
        super().__init__(config, observer or Silent(), world=world, run=run, usage=Usage(run.path))
        self.claim_folder()
        self.usage.add(world.seconds)

    @property
    def is_shared(self) -> bool:
        """Whether other processes may be at work on it, on other machines perhaps."""
        return self.shard.count > 1 or self.run.is_in_a_store

    def claim_folder(self) -> None:
        """Writes what the folder was made with and its campaign file, unless it says so already.

        Raises:
            ResumeError: it holds results of another campaign.
        """
        self.run.claim(self.identity, shared=self.is_shared)
        if not self.run.holds(self._resumes_with):
            self.run.write_config(self._resumes_with)


def require_startable(config: CampaignConfig) -> None:
    """Refuse before anything is loaded attacks, budgets and checks that cannot be, and a folder that cannot be written
    to.

    Raises:
        ConfigError: so it is; it says what to change.
    """
    require_budgets(config)
    require_known(config.checks.names)
    for folder in (Path(config.out), Path(config.out) / "corpus"):
        require_writable(folder)


def _require_tuned_for(rm: RewardModel, config: CampaignConfig) -> None:
    tuned = config.tuned
    if tuned is not None and tuned.rm_fingerprint != rm.fingerprint:
        raise ConfigError(
            f"the hyper-parameters of {tuned.attack!r} were tuned against another RM "
            f"({tuned.rm_fingerprint[:12]}, this one is {rm.fingerprint[:12]}). "
            "Tune again: rmminer tune; or take the [tuned] table out to use them as they are"
        )
