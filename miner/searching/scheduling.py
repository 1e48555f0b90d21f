"""Spends a budget of queries where certified, distinct findings come cheapest: Thompson sampling over arms.

An arm is an attack at one budget on one group of prompts; what it yields is a rate, distinct findings a query, with a
Gamma posterior (Poisson counts; Thompson 1933, Chapelle & Li 2011); distinct are findings of different causes. Groups
share what is known of their attack, and the full budget what is known of the short one: each is drawn around a draw of
its parent. Decisions are made in generations, from the results of complete earlier ones and the seed alone, so that a
resumed campaign goes on from what is stored as if it had not been cut off.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from corpus.records import Attempt, Finding, Prompt, digest
from miner.config.campaign import AttackSection, ScheduleSection
from miner.errors import ConfigError
from miner.searching.causes import Causes

PARENT_WEIGHT = 1.0  # findings that a parent's rate counts for


@dataclass(frozen=True, slots=True)
class Arm:
    """An attack at one budget on one group of prompts."""

    attack: str
    budget: int
    group: int


@dataclass(frozen=True, slots=True)
class Choice:
    """One attempt to make: ``number`` tells those of an attack on the same prompt apart."""

    arm: Arm
    prompt: Prompt
    number: int


Key = tuple[str, int, int | None]  # attack, budget, group of prompts; None is all of them
Turn = tuple[int, str, int]  # attempts made, tie-breaker, number of the prompt


class Yield(NamedTuple):
    """Causes that no finding before had, and the queries that they count as having cost."""

    distinct: int
    queries: int


@dataclass(slots=True, kw_only=True)
class Scheduler:
    """The stage's decisions; ``group_of`` has each prompt's group, ``spent`` is what complete generations count for."""

    section: ScheduleSection
    attacks: Sequence[AttackSection]
    prompts: Sequence[Prompt]
    group_of: Mapping[str, int]
    budget_queries: int
    seed: int
    least: Mapping[str, int] = field(default_factory=dict)  # an attack's least budget, where it is above one
    yields: dict[Key, Yield] = field(default_factory=lambda: defaultdict(lambda: Yield(0, 0)))
    generation: int = 0
    _places: dict[str, int] = field(init=False)  # of each prompt's id, hashed once
    _waiting: dict[tuple[str, int], list[Turn]] = field(default_factory=dict)  # of an attack and a group, a heap
    _findings: list[Finding] = field(default_factory=list)
    _causes: Causes = field(default_factory=Causes)

    def __post_init__(self) -> None:
        self._places = {}
        for at, prompt in enumerate(self.prompts):
            self._places.setdefault(prompt.prompt_id, at)

    @property
    def spent(self) -> int:
        return sum(of_key.queries for (_, _, group), of_key in self.yields.items() if group is None)

    @property
    def found(self) -> tuple[Finding, ...]:
        """All findings of complete generations, in their order."""
        return tuple(self._findings)

    def choose(self) -> list[Choice]:
        """The next generation; empty when the budget is spent."""
        rng = np.random.default_rng(int(digest([self.seed, "generation", self.generation])[:12], 16))
        left = self.section.total_queries - self.spent
        chosen: list[Choice] = []
        arms = self._arms()
        while len(chosen) < self.section.generation and left > 0:
            arm = self._arm(arms, len(chosen), rng)
            chosen.append(self._attempt(arm))
            left -= arm.budget
        return chosen

    def learn(self, made: Sequence[tuple[Choice, Attempt, Sequence[Finding]]]) -> None:
        """Take in a complete generation, in the order of its attempts' ids."""
        ordered = sorted(made, key=lambda one: one[1].attempt_id)
        fresh: Counter[str] = Counter()
        for finding in (finding for _, _, findings in ordered for finding in findings):
            fresh[finding.attempt_id] += self._causes.is_new(finding)
            self._findings.append(finding)
        for choice, attempt, found in ordered:
            arm, cost = choice.arm, self._cost(choice.arm, attempt, found)
            for key in ((arm.attack, arm.budget, None), (arm.attack, arm.budget, arm.group)):
                before = self.yields[key]
                self.yields[key] = Yield(before.distinct + fresh[attempt.attempt_id], before.queries + cost)
        self.generation += 1

    def _cost(self, arm: Arm, attempt: Attempt, found: Sequence[Finding]) -> int:
        """What an attempt counts for. One that had nothing to try would be free, and be tried for ever."""
        return attempt.queries if found else max(attempt.queries, arm.budget // 8, 1)

    def _arms(self) -> list[Arm]:
        groups = sorted(set(self.group_of.values()))
        return [
            Arm(section.name, budget, group)
            for section in self.attacks
            for budget in self._budgets(section)
            for group in groups
        ]

    def _budgets(self, section: AttackSection) -> tuple[int, ...]:
        """Short attempts, then full ones."""
        full = section.budget_queries or self.budget_queries
        short = max(self.least.get(section.name, 1), round(full * self.section.probe))
        return (short, full) if short < full else (full,)

    def _arm(self, arms: Sequence[Arm], slot: int, rng: np.random.Generator) -> Arm:
        if self.section.policy == "uniform":
            return arms[(self.generation * self.section.generation + slot) % len(arms)]
        if self.generation == 0:  # nothing is known: try every attack, at its short budget
            short = [arm for arm in arms if arm.budget == self._shortest(arm.attack)]
            return short[slot * len(short) // self.section.generation % len(short)]
        rates = self._draw(arms, rng)
        return arms[int(rates.argmax())]

    def _shortest(self, attack: str) -> int:
        (section,) = (one for one in self.attacks if one.name == attack)
        return self._budgets(section)[0]

    def _draw(self, arms: Sequence[Arm], rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """One rate per arm: attack at its budgets, shortest first, then the group, each around its parent's draw."""
        found = self.yields
        rates: dict[Key, float] = {}
        for section in self.attacks:
            parent = 1.0 / (section.budget_queries or self.budget_queries)
            for budget in self._budgets(section):
                parent = rates[section.name, budget, None] = _posterior(parent, *found[section.name, budget, None], rng)
        return np.array(
            [_posterior(rates[a.attack, a.budget, None], *found[a.attack, a.budget, a.group], rng) for a in arms]
        )

    def _attempt(self, arm: Arm) -> Choice:
        """On the prompt of the group that this attack has tried least often."""
        waiting = self._queue(arm.attack, arm.group)
        made, tie, at = waiting[0]
        heapq.heapreplace(waiting, (made + 1, tie, at))
        return Choice(arm, self.prompts[at], made)

    def _queue(self, attack: str, group: int) -> list[Turn]:
        """The group's prompts: those first that the attack has tried least often, ties in an order of the seed's."""
        if (attack, group) not in self._waiting:
            members = ((at, one) for one, at in self._places.items() if self.group_of[one] == group)
            found = [(0, digest([self.seed, one]), at) for at, one in members]
            heapq.heapify(found)
            self._waiting[attack, group] = found
        return self._waiting[attack, group]


def _posterior(prior: float, finds: int, queries: int, rng: np.random.Generator) -> float:
    """A draw of a rate that ``finds`` in ``queries`` tell of, around the ``prior`` rate."""
    return float(rng.gamma(PARENT_WEIGHT + finds, 1.0 / (PARENT_WEIGHT / prior + queries)))


def require_schedulable(attacks: Sequence[AttackSection], prompts: Sequence[Prompt]) -> None:
    """Refuse what a scheduler cannot choose among.

    Raises:
        ConfigError: no attack, no prompt, an attack on many prompts together or one that knows the RM before its patch,
            or two of one name.
    """
    if not attacks:
        raise ConfigError("no attack to mine with: name some in mine.attacks, or take mine.schedule out")
    if not prompts:
        raise ConfigError("the train split holds no prompt to mine on. Give more data or a larger train share")
    for name, n in Counter(one.name for one in attacks).items():
        if n > 1:
            raise ConfigError(f"attack {name!r} is listed {n} times; a schedule tells attacks apart by name. Leave one")
    for one in attacks:
        attack = one.build()
        if attack.adaptive or attack.prompts_per_attempt > 1:
            why = "starts from the RM before its patch" if attack.adaptive else "works on many prompts together"
            raise ConfigError(
                f"attack {one.name!r} {why} and cannot be scheduled. "
                "Leave it out of mine.attacks, or take mine.schedule out"
            )


def difficulty_groups(
    prompts: Sequence[Prompt], reference_rewards: Mapping[str, float], n_groups: int
) -> dict[str, int]:
    """Prompts by how well their reference scores, in ``n_groups`` equal parts: what has to be beaten.

    Those without a reference are a group of their own.
    """
    ranked = sorted(reference_rewards, key=lambda prompt_id: (reference_rewards[prompt_id], prompt_id))
    group_of = {prompt_id: at * n_groups // len(ranked) for at, prompt_id in enumerate(ranked)}
    return {prompt.prompt_id: group_of.get(prompt.prompt_id, n_groups) for prompt in prompts}
