"""What a campaign works on: prompts by split, and the models around them, as folders or hub ids."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from corpus.records import Conversation, Prompt, Split, digest
from miner.config.campaign import LanguageModelSection, PolicySection
from miner.config.reward_model import RewardModelSection
from miner.data import SPLITS, in_split
from miner.errors import ConfigError
from miner.judging.checks import Subject
from miner.judging.criteria import MIN_CLEAN

CHECKED_SPLITS: tuple[Split, ...] = ("calibration", "held_out")


@dataclass(frozen=True)
class World:
    """``clean`` holds by split the good answers that checks are calibrated and measured on. Each has another good
    answer to the same prompt as its reference, or none.

    ``data`` says how rows were read and what was left out, where they are a person's own.
    """

    name: str
    data_hash: str
    prompts: Sequence[Prompt]
    clean: Mapping[Split, tuple[Subject, ...]]
    rm: RewardModelSection
    policy: PolicySection | None = None
    reference_lm: LanguageModelSection | None = None
    shares: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def by_split(self) -> dict[Split, Sequence[Prompt]]:
        return {split: in_split(self.prompts, split) for split in SPLITS}

    @cached_property
    def references(self) -> Mapping[Conversation, str]:
        """The good answer to each prompt that has one."""
        return GoodAnswers(self.prompts)

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
        return tuple(pool) if n == 0 else spread(pool, n, seed=seed)


@dataclass(frozen=True)
class GoodAnswers(Mapping[Conversation, str]):
    """The good answers to prompts, looked up once one is asked for: most RMs need none."""

    prompts: Sequence[Prompt]

    @cached_property
    def _found(self) -> dict[Conversation, str]:
        return {prompt.conversation: prompt.reference for prompt in self.prompts if prompt.reference is not None}

    def __getitem__(self, conversation: Conversation) -> str:
        return self._found[conversation]

    def __iter__(self) -> Iterator[Conversation]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def spread(prompts: Sequence[Prompt], n: int, *, seed: int) -> tuple[Prompt, ...]:
    """``n`` prompts: in each turn one of every group, groups and prompts in hashed order."""
    keyed = [(digest([seed, prompt.prompt_id]), prompt.group_key) for prompt in prompts]
    by_group: dict[str, list[int]] = {}
    for at in sorted(range(len(keyed)), key=lambda at: keyed[at][0]):
        by_group.setdefault(keyed[at][1], []).append(at)
    groups = sorted(by_group, key=lambda key: digest([seed, key]))
    chosen: list[int] = []
    while len(chosen) < n:
        for group in groups:
            if by_group[group] and len(chosen) < n:
                chosen.append(by_group[group].pop(0))
    return tuple(prompts[at] for at in chosen)
