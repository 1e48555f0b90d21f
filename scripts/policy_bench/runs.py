"""The stored runs: which there are, and how each is made. Made in an order in which any beginning of the list is a fair
sample of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Literal

from miner.campaign import Campaign
from miner.config import CampaignConfig
from miner.docsworld import studio
from miner.overopt.curves import Curves
from miner.overopt.gold import OverlapGold, Scorer
from miner.overopt.log import RunLog, read_samples
from miner.overopt.rl import remove_checkpoints
from miner.overopt.settings import RlSettings
from miner.overopt.study import Study, run_name
from miner.progress import Observer
from policy_bench.flawed import Flawed

Target = Literal["the", "the-half", "lexical-the", "encoder"]

SETTINGS = RlSettings(
    steps=30,
    kl=0.005,
    prompts_per_step=8,
    samples_per_prompt=4,
    max_new_tokens=20,
    min_new_tokens=20,
    learning_rate=1e-3,
    eval_every=2,
    eval_prompts=48,
    checkpoint_every=10,
)
WEAK, MIDDLE, STRONG = 0.005, 0.05, 1.0  # KL weights; whether a run games is for gold to say
STRENGTH = 8.0  # of the planted flaw: what an answer of nothing but the word gains, in raw reward


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One stored run. ``tuning``: it may choose the detector's parameters, and is judged by no figure."""

    target: Target
    kl: float
    seed: int
    steps: int = SETTINGS.steps
    tuning: bool = False

    @property
    def name(self) -> str:
        return f"{self.target}/{run_name(self.kl, self.seed)}"


def specs(*, quick: bool) -> list[Spec]:
    """All of them; ``quick`` the first few."""
    weak = [Spec(target="the", kl=WEAK, seed=seed, tuning=seed < 3) for seed in range(9)]
    middle = [Spec(target="the", kl=MIDDLE, seed=seed, tuning=seed < 1) for seed in range(6)]
    lexical = [Spec(target="lexical-the", kl=WEAK, seed=seed, tuning=seed < 1) for seed in range(6)]
    strong = [
        Spec(target=target, kl=STRONG, seed=seed, tuning=seed < 1)
        for seed in range(6)
        for target in ("the", "lexical-the")
    ]
    half = [Spec(target="the-half", kl=WEAK, seed=seed, steps=40) for seed in range(4)]
    unflawed = [Spec(target="encoder", kl=WEAK, seed=seed, steps=40) for seed in range(3)]
    mixed = _interleaved(weak, strong, lexical, middle, half, unflawed)
    return mixed[:4] if quick else mixed


def _interleaved(*lists: list[Spec]) -> list[Spec]:
    return [one for turn in zip_longest(*lists) for one in turn if one is not None]


@dataclass
class Bench:
    """Docs world with its models, opened once for all runs."""

    out: Path
    observer: Observer
    quick: bool = False

    def __post_init__(self) -> None:
        raw = {"out": str(self.out / "campaign"), "data": {"world": "docs"}, "rm": {"device": "cpu"}}
        self.config = CampaignConfig.model_validate(raw)
        self.campaign = Campaign(self.config, self.observer)
        self.lexical = studio.second_rm(self.config, observer=self.observer)
        self.policy = studio.restating_policy(self.config, observer=self.observer).source
        self._studies: dict[str, Study] = {}

    def target(self, name: Target) -> Scorer:
        encoder = self.campaign.rm(0)
        match name:
            case "the":
                return Flawed(rm=encoder, words=("the",), strength=STRENGTH)
            case "the-half":
                return Flawed(rm=encoder, words=("the",), strength=STRENGTH / 2)
            case "lexical-the":
                return Flawed(rm=self.lexical, words=("the",), strength=STRENGTH)
            case "encoder":
                return encoder

    def study(self, name: Target) -> Study:
        """The second RM is the lexical one, and the encoder where that is the target."""
        if name not in self._studies:
            self._studies[name] = Study(
                campaign=self.campaign,
                policy_source=self.policy,
                target=self.target(name),
                settings=replace(SETTINGS, steps=12) if self.quick else SETTINGS,
                gold=OverlapGold(),
                second=self.campaign.rm(0) if name == "lexical-the" else self.lexical,
                place=self.out / name,
            )
        return self._studies[name]

    def make(self, spec: Spec, *, keep_checkpoints: bool) -> None:
        """The run, made or resumed; one line about it on stderr."""
        study, started = self.study(spec.target), time.process_time()
        steps = min(spec.steps, 12) if self.quick else spec.steps
        info = study.run(kl=spec.kl, seed=spec.seed, steps=steps)
        folder = study.folder / info.name
        if not keep_checkpoints:
            remove_checkpoints(folder)
        curves = Curves(read_samples(folder))
        told = "  ".join(f"{n} {curves.mean(n)[0]:.2f} → {curves.mean(n)[-1]:.2f}" for n in ("proxy", "gold", "second"))
        spent = time.process_time() - started
        print(f"{spec.name}: {info.status} {info.reason}  {told}  {spent:.0f} CPU s", file=sys.stderr, flush=True)


def stored(folder: Path, *, quick: bool) -> Iterator[tuple[Spec, Curves]]:
    """Every finished run that ``folder`` holds."""
    for spec in specs(quick=quick):
        place = folder / spec.target / run_name(spec.kl, spec.seed)
        log = RunLog(place)
        if log.exists() and log.info().status != "running":
            yield spec, Curves(read_samples(place))
