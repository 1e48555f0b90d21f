"""What a campaign works on: prompts by split, and the models around them, as folders or hub ids."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from corpus.records import Prompt, Split, digest
from miner.config.campaign import LanguageModelSection, PolicySection
from miner.config.reward_model import RewardModelSection
from miner.errors import ConfigError
from miner.judging.checks import Subject
from miner.judging.criteria import MIN_CLEAN

CHECKED_SPLITS: tuple[Split, ...] = ("calibration", "held_out")


@dataclass(frozen=True)
class World:
    """``clean`` holds good answers by split for the checks: each judged beside *another* good answer, or none.

    ``data`` says how rows were read and what was left out, where they are a person's own.
    """

    name: str
    data_hash: str
    prompts: tuple[Prompt, ...]
    clean: Mapping[Split, tuple[Subject, ...]]
    rm: RewardModelSection
    policy: PolicySection | None = None
    reference_lm: LanguageModelSection | None = None
    shares: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def by_split(self) -> dict[Split, tuple[Prompt, ...]]:
        splits: tuple[Split, ...] = ("train", "calibration", "held_out")
        return {split: tuple(p for p in self.prompts if p.split == split) for split in splits}

    def require_clean(self) -> None:
        """The calibration split holds the good answers that a bar needs.

        Raises:
            ConfigError: it does not; says why, and which setting helps.
        """
        pool = self.by_split["calibration"]
        n = sum(prompt.reference is not None for prompt in pool)
        if n >= MIN_CLEAN:
            return
        total = len(self.prompts)
        answered = sum(prompt.reference is not None for prompt in self.prompts)
        problem = (
            f"the calibration split of {self.name} has {n} clean references (prompts with a good answer), expected at "
            f"least {MIN_CLEAN}: {answered} of {total} prompts have one."
        )
        if lumped := self._lumped():
            raise ConfigError(f"{problem} {lumped}")
        if answered < 2 * MIN_CLEAN:
            raise ConfigError(f"{problem} Give more good answers; rmminer data FILE shows how the data is read")
        share = math.ceil(min(0.8, 1.6 * MIN_CLEAN / answered) * 10) / 10
        rest = (1 - share) / 2
        fractions = f"[{1 - share - rest:.2f},{share:.2f},{rest:.2f}]"
        raise ConfigError(f"{problem} Give that split more: --set data.fractions={fractions}, or give more data")

    def _lumped(self) -> str:
        """Why other shares would not help: prompts are in a few groups; empty where they are not."""
        total, groups = len(self.prompts), len({prompt.group_key for prompt in self.prompts})
        if not groups or groups >= 2 * len(self.by_split) or total <= 2 * groups:
            return ""
        return (
            f"All prompts are in {groups} groups (by their first turn, unless a column is named), and no group is ever "
            "divided. Name a column that tells them apart: --set data.columns.group=…"
        )

    def sample(self, split: Split, n: int, *, seed: int) -> tuple[Prompt, ...]:
        """``n`` prompts of a split, drawn one group after the other so that none dominates (0: all of them).

        Raises:
            ConfigError: the split has fewer, or none.
        """
        pool = self.by_split[split]
        if n > len(pool) or not pool:
            fewer = "Ask for fewer, give" if pool else "Give"
            more = f"{fewer} that split more, --set data.fractions=…, or give more data"
            raise ConfigError(
                f"the {split} split of {self.name} has {len(pool)} prompts, {n or 'all'} were asked for. "
                f"{more if pool else self._lumped() or more}"
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
