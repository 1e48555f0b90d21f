"""What a campaign works on: prompts by split, and the models around them, as folders or hub ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.records import Prompt, Split, digest
from miner.checks import Subject
from miner.config import CampaignConfig, LanguageModelSection
from miner.errors import ConfigError
from miner.progress import Observer
from miner.rm_tables import RewardModelSection

if TYPE_CHECKING:
    from miner.data import PreferenceData

CHECKED_SPLITS: tuple[Split, ...] = ("calibration", "held_out")


@dataclass(frozen=True)
class World:
    """``clean`` holds good answers by split for the checks: each judged beside *another* good answer, or none."""

    name: str
    data_hash: str
    prompts: tuple[Prompt, ...]
    clean: Mapping[Split, tuple[Subject, ...]]
    rm: RewardModelSection
    policy: LanguageModelSection | None = None
    reference_lm: LanguageModelSection | None = None
    shares: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def by_split(self) -> dict[Split, tuple[Prompt, ...]]:
        splits: tuple[Split, ...] = ("train", "calibration", "held_out")
        return {split: tuple(p for p in self.prompts if p.split == split) for split in splits}

    def sample(self, split: Split, n: int, *, seed: int) -> tuple[Prompt, ...]:
        """``n`` prompts of a split, drawn one group after the other so that none dominates (0: all of them).

        Raises:
            ConfigError: the split has fewer.
        """
        pool = self.by_split[split]
        if n > len(pool):
            raise ConfigError(
                f"the {split} split of {self.name} has {len(pool)} prompts, {n} were asked for. "
                "Ask for fewer, or give more data"
            )
        return pool if n == 0 else spread(pool, n, seed=seed)


def spread(prompts: Sequence[Prompt], n: int, *, seed: int) -> tuple[Prompt, ...]:
    """``n`` prompts: in each turn one of every group, groups and prompts in hashed order."""
    by_group: dict[str, list[Prompt]] = {}
    for prompt in sorted(prompts, key=lambda p: digest([seed, p.prompt_id])):
        by_group.setdefault(prompt.group_key, []).append(prompt)
    groups = sorted(by_group, key=lambda key: digest([seed, key]))
    chosen: list[Prompt] = []
    while len(chosen) < n:
        for group in groups:
            if by_group[group] and len(chosen) < n:
                chosen.append(by_group[group].pop(0))
    return tuple(chosen)


def open_world(config: CampaignConfig, observer: Observer) -> World:
    """The world that a campaign file describes; docs world's models are trained where the cache lacks them.

    Raises:
        DataError, ConfigError: see ``miner.data.read_preferences`` and ``miner.docsworld.studio``.
    """
    if config.data.world == "docs":
        from miner.docsworld.studio import prepare

        return prepare(config, observer=observer)
    return _from_data(config, str(config.data.source), observer)


def read_prompts(config: CampaignConfig) -> tuple[Prompt, ...]:
    """The prompts of ``data.source`` alone, no model loaded or trained. Errors as ``open_world``."""
    return _read(config, str(config.data.source)).prompts


def read_split(config: CampaignConfig, split: Split) -> tuple[Prompt, ...]:
    """The prompts of one split, docs world's too, no model loaded or trained. Errors as ``open_world``."""
    if config.data.world == "docs":
        from miner.docsworld.world import DocsWorld
        from miner.rewards.identity import cache_folder

        return DocsWorld.load(cache_folder() / "docsworld").prompts(split)
    return tuple(prompt for prompt in read_prompts(config) if prompt.split == split)


def open_to_judge(config: CampaignConfig, observer: Observer) -> World:
    """The world as its checks need it: of docs world's models only the reference LM is trained where the cache lacks
    it. Errors as ``open_world``."""
    if config.data.world == "docs":
        from miner.docsworld.studio import prepare_to_judge

        return prepare_to_judge(config, observer=observer)
    return open_world(config, observer)


def _read(config: CampaignConfig, source: str) -> PreferenceData:
    from miner.data import ColumnMapping, SplitFractions, read_preferences

    data = config.data
    train, calibration, held_out = data.fractions
    return read_preferences(
        Path(source) if Path(source).exists() else source,
        columns=ColumnMapping(**data.columns.model_dump()) if data.columns else None,
        hub_split=data.hub_split,
        limit=data.limit,
        split_fractions=SplitFractions(train=train, calibration=calibration, held_out=held_out),
        split_salt=data.split_salt,
    )


def _from_data(config: CampaignConfig, source: str, observer: Observer) -> World:
    with observer.stage("reading the data"):
        read = _read(config, source)
        data_hash = digest([[p.prompt_id, p.reference, list(p.rejected)] for p in read.prompts])
    return World(
        name=Path(source).name,
        data_hash=data_hash,
        prompts=read.prompts,
        clean={split: clean_subjects(read.prompts, split) for split in CHECKED_SPLITS},
        rm=config.rm,
        policy=config.policy,
        reference_lm=_reference_lm(config, observer),
        shares={str(split): n for split, n in read.report.prompts_by_split.items()},
    )


def _reference_lm(config: CampaignConfig, observer: Observer) -> LanguageModelSection | None:
    if config.reference_lm is None:
        return None
    from miner.docsworld import studio

    return (
        studio.reference_lm(config, observer=observer)
        if config.reference_lm.source == studio.DOCS
        else config.reference_lm
    )


def clean_subjects(prompts: Sequence[Prompt], split: Split) -> tuple[Subject, ...]:
    """The references of a split as clean text. There is no second answer to set beside them, so none is."""
    return tuple(
        Subject(response=p.reference, prompt=p.conversation) for p in prompts if p.split == split and p.reference
    )
