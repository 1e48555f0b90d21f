"""What a campaign works on: prompts by split, and the models around them, as folders or hub ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from corpus.records import Prompt, Split, digest
from miner.config.campaign import LanguageModelSection, PolicySection
from miner.config.reward_model import RewardModelSection
from miner.errors import ConfigError
from miner.judging.checks import Subject

CHECKED_SPLITS: tuple[Split, ...] = ("calibration", "held_out")


@dataclass(frozen=True)
class World:
    """``clean`` holds good answers by split for the checks: each judged beside *another* good answer, or none."""

    name: str
    data_hash: str
    prompts: tuple[Prompt, ...]
    clean: Mapping[Split, tuple[Subject, ...]]
    rm: RewardModelSection
    policy: PolicySection | None = None
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
