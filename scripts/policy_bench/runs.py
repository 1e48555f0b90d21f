"""The stored runs: which there are, and how each is made. Made in an order in which any beginning of the list is a fair
sample of it."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Literal, get_args

from miner.campaigns.campaign import Campaign
from miner.config.campaign import CampaignConfig, DataSection
from miner.judging.criteria import criteria_for_scorer
from miner.judging.ensemble import Ensemble
from miner.judging.gold import ContrastGold
from miner.measuring.benchmark import docs_models as zoo
from miner.measuring.overopt.curves import Curves
from miner.measuring.overopt.log import RunLog, read_samples
from miner.measuring.overopt.rl import CHECKPOINTS
from miner.measuring.overopt.settings import RlSettings
from miner.measuring.overopt.study import Study, run_name
from miner.progress import Observer
from miner.rewards import load_reward_model
from miner.rewards.base import RewardModel, Scorer
from miner.worlds.docs import models as studio

Target = Literal[
    "encoder", "encoder-1", "patched", "length-biased", "lexical", "mean", "min", "variance", "less", "collapse"
]
"""What is optimised: docs world's RM, the same trained with another seed, after a patch, one that learnt to like
length, the one that counts words; mixes of three encoders of other seeds, and encoder − 0.5 · lexical. "collapse" is
docs world's RM again, with the larger policy and steps as long as it takes."""
TARGETS: tuple[Target, ...] = get_args(Target)
CHECKPOINTED: tuple[Target, ...] = ("collapse",)  # whose checkpoints are looked at, and kept
MIXES: tuple[Target, ...] = ("mean", "min", "variance", "less")

SETTINGS = RlSettings(
    steps=72,
    kl=0.005,
    prompts_per_step=16,
    samples_per_prompt=8,
    max_new_tokens=16,
    min_new_tokens=16,
    learning_rate=4e-4,
    eval_every=4,
    eval_prompts=48,
    checkpoint_every=24,
)
COLLAPSE = replace(
    SETTINGS, steps=150, max_new_tokens=12, min_new_tokens=12, learning_rate=1e-3, eval_every=3, checkpoint_every=15
)
QUICK_STEPS = 24
NONE, WEAK, STRONG = 0.0, 0.005, 1.0  # KL weights; whether a run games is for gold to say


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One stored run."""

    target: Target
    kl: float
    seed: int

    @property
    def settings(self) -> RlSettings:
        return replace(COLLAPSE if self.target == "collapse" else SETTINGS, kl=self.kl, seed=self.seed)

    @property
    def name(self) -> str:
        return f"{self.target}/{run_name(self.kl, self.seed)}"


def specs(*, quick: bool) -> list[Spec]:
    """All of them; ``quick`` the first few."""

    def some(target: Target, kl: float, n: int) -> list[Spec]:
        return [Spec(target=target, kl=kl, seed=seed) for seed in range(n)]

    mixed = _interleaved(
        some("encoder", WEAK, 8),
        some("encoder", STRONG, 3),
        some("patched", WEAK, 6),
        some("collapse", WEAK, 3),
        some("lexical", WEAK, 3),
        some("lexical", STRONG, 4),
        some("encoder", NONE, 3),
        some("length-biased", WEAK, 4),
        some("encoder-1", WEAK, 3),
        some("encoder-1", STRONG, 2),
        *(some(mix, WEAK, 3) for mix in MIXES),
    )
    return mixed[:4] if quick else mixed


def _interleaved(*lists: list[Spec]) -> list[Spec]:
    return [one for turn in zip_longest(*lists) for one in turn if one is not None]


@dataclass
class Bench:
    """Docs world with its models, opened once for all runs."""

    out: Path
    observer: Observer
    quick: bool = False
    shard: int = 0  # processes that share ``out`` have a campaign's folder each

    def __post_init__(self) -> None:
        self.config = _docs_world(self.out / f"campaign-{self.shard}", seed=0)
        self.campaign = Campaign(self.config, self.observer)
        self.lexical = studio.second_rm(self.config, observer=self.observer)
        self.policy = studio.restating_policy(self.config, observer=self.observer).source
        self.larger_policy = studio.policy(self.config, observer=self.observer).source
        self._studies: dict[str, Study] = {}

    @cached_property
    def encoders(self) -> tuple[RewardModel, ...]:
        """Docs world's RM and two more, trained as it is with other seeds."""
        others = [_docs_world(Path(self.config.out), seed=seed) for seed in (1, 2)]
        sources = [studio.reward_model(config, observer=self.observer) for config in others]
        return (self.campaign.models.rm(0), *(load_reward_model(source, device="cpu") for source in sources))

    def target(self, name: Target) -> Scorer:
        match name:
            case "encoder" | "collapse":
                return self.campaign.models.rm(0)
            case "encoder-1":
                return self.encoders[1]
            case "lexical":
                return self.lexical
            case "patched" | "length-biased":
                found = zoo.resolve([f"docs:{name}"], DataSection(world="docs"), observer=self.observer)
                return load_reward_model(found[f"docs:{name}"], device="cpu")
            case "less":
                return self._mixed((self.campaign.models.rm(0), self.lexical), name)
            case "mean" | "min" | "variance":
                return self._mixed(self.encoders, name)

    def _mixed(self, rms: tuple[Scorer, ...], mix: Literal["mean", "min", "variance", "less"]) -> Ensemble:
        calibration, quantile = self.campaign.world.by_split["calibration"], self.config.criteria.quantile
        return Ensemble(members=tuple((rm, criteria_for_scorer(rm, calibration, quantile)) for rm in rms), mix=mix)

    def study(self, name: Target) -> Study:
        """The second RM is the lexical one, and where that is in the target an encoder that is not."""
        if name not in self._studies:
            second: Scorer = self.lexical
            if name == "lexical":
                second = self.campaign.models.rm(0)
            elif name == "less":
                second = self.encoders[1]
            self._studies[name] = Study(
                campaign=self.campaign,
                policy_source=self.larger_policy if name == "collapse" else self.policy,
                target=self.target(name),
                settings=COLLAPSE if name == "collapse" else SETTINGS,
                gold=ContrastGold.of(self.campaign.world.by_split["held_out"]),
                second=second,
                place=self.out / name,
            )
        return self._studies[name]

    def make(self, spec: Spec, *, keep_checkpoints: bool) -> None:
        """The run, made or resumed; one line about it on stderr."""
        study, started = self.study(spec.target), time.process_time()
        info = study.run(kl=spec.kl, seed=spec.seed, steps=QUICK_STEPS if self.quick else spec.settings.steps)
        folder = study.folder / info.name
        if not keep_checkpoints:
            shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)  # its log stays
        curves = Curves(read_samples(folder))
        told = "  ".join(f"{n} {curves.mean(n)[0]:.2f} → {curves.mean(n)[-1]:.2f}" for n in ("proxy", "gold", "second"))
        spent = time.process_time() - started
        print(f"{spec.name}: {info.status} {info.reason}  {told}  {spent:.0f} CPU s", file=sys.stderr, flush=True)


def _docs_world(out: Path, *, seed: int) -> CampaignConfig:
    raw = {"out": str(out), "seed": seed, "data": {"world": "docs"}, "rm": {"device": "cpu"}}
    return CampaignConfig.model_validate(raw)


def stored(folder: Path, *, quick: bool) -> Iterator[tuple[Spec, Curves]]:
    """Every finished run that ``folder`` holds."""
    for spec in specs(quick=quick):
        place = folder / spec.target / run_name(spec.kl, spec.seed)
        log = RunLog(place)
        if log.exists() and log.info().status != "running":
            yield spec, Curves(read_samples(place))
