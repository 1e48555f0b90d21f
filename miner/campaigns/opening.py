"""An opened campaign: its config, its world, the folder it is kept in, and its models."""

from __future__ import annotations

from pathlib import Path

from corpus import Corpus
from corpus.records import Attempt, Finding, Split, digest
from miner.campaigns.round_models import RoundModels
from miner.campaigns.run_folder import RunFolder
from miner.campaigns.usage import Usage
from miner.config.campaign import CampaignConfig
from miner.errors import ConfigError
from miner.progress import Observer, Silent
from miner.rewards.base import RewardModel
from miner.searching.mining import require_budgets
from miner.searching.shards import WHOLE, Shard
from miner.worlds.opening import open_world


class OpenCampaign:
    """Opens or resumes the campaign of ``config`` in its folder.

    More prompts, other attacks or budgets may join it later; what decides the meaning of its rows may not change.
    ``resumes_with`` is what its ``campaign.toml`` is to say instead of ``config``; ``shard`` is which of a stage's
    attempts this process makes first.

    Raises:
        ResumeError: the folder was made with another RM, pipeline, data, seed, criteria, checks or patch.
        ConfigError, DataError, ModelError: from what the config names.
    """

    def __init__(
        self,
        config: CampaignConfig,
        observer: Observer | None = None,
        *,
        resumes_with: CampaignConfig | None = None,
        shard: Shard = WHOLE,
    ) -> None:
        require_budgets(config)  # before anything is loaded, as is a misspelt attack
        self.config, self._resumes_with = config, resumes_with or config
        self.observer = observer or Silent()
        self.shard = shard
        self.world = open_world(config, self.observer)
        self.run = RunFolder(Path(config.out))
        self.usage = Usage(self.run.path)
        self.models = RoundModels(
            config=config, world=self.world, run=self.run, usage=self.usage, observer=self.observer
        )
        if config.data.world is not None and config.rm.source is None:
            self.run.keep_model(Path(str(self.world.rm.source)))
        rm = self.models.rm(0)
        _require_tuned_for(rm, config)
        self.identity = {
            "rm_fingerprint": rm.fingerprint,
            "pipeline_hash": rm.pipeline_hash,
            "data_hash": digest([self.world.data_hash, [prompt.split for prompt in self.world.prompts]]),
            "config": config.fixed_digest(),
        }
        self.campaign_id = digest(self.identity)
        self.claim_folder()
        self.usage.add(self.world.seconds)

    def claim_folder(self) -> None:
        """Writes what the folder was made with and its campaign file, unless it says so already.

        Raises:
            ResumeError: it holds results of another campaign.
        """
        self.run.claim(self.identity)
        if not self.run.holds(self._resumes_with):
            self.run.write_config(self._resumes_with)

    @property
    def folder(self) -> Path:
        return self.run.path

    @property
    def corpus(self) -> Corpus:
        return self.run.corpus

    def findings(self) -> list[Finding]:
        """Those of this campaign's stored attempts: its corpus may hold others', and what a kill left."""
        return [finding for finding in self.corpus.settled_findings() if finding.campaign_id == self.campaign_id]

    def attempts_of(self, round_number: int, split: Split) -> list[Attempt]:
        """Of each attack those made with the code and criteria of its newest: no two kinds are counted together."""
        mine = [
            attempt
            for attempt in self.corpus.attempts()
            if (attempt.campaign_id, attempt.round, attempt.split) == (self.campaign_id, round_number, split)
        ]
        newest = {attempt.attack: (attempt.code_version, attempt.criteria_hash) for attempt in mine}
        return [a for a in mine if (a.code_version, a.criteria_hash) == newest[a.attack]]


def _require_tuned_for(rm: RewardModel, config: CampaignConfig) -> None:
    tuned = config.tuned
    if tuned is not None and tuned.rm_fingerprint != rm.fingerprint:
        raise ConfigError(
            f"the hyper-parameters of {tuned.attack!r} were tuned against another RM "
            f"({tuned.rm_fingerprint[:12]}, this one is {rm.fingerprint[:12]}). "
            "Tune again: rmminer tune; or take the [tuned] table out to use them as they are"
        )
