"""Searches that follow a script, a judge that knows words, and what they run under."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from attacks import Attack, Score, Search
from corpus.records import Answer, Prompt, Verdict
from miner.judging.checks import Certificate, Subject
from miner.judging.criteria import Criteria, clean_criteria
from miner.searching.attempts import Plan, RoundContext, plan_attempt
from miner.testing import ToyRewardModel, toy_prompts


@dataclass
class WordJudge:
    """Convicts what holds none of ``sense``; remembers what it was shown."""

    sense: tuple[str, ...] = ()
    identity: str = "word-judge"

    def __post_init__(self) -> None:
        self.shown: list[Subject] = []
        self.calls = 0

    def certify(self, subjects: Sequence[Subject]) -> list[Certificate]:
        self.shown += subjects
        self.calls += bool(subjects)
        return [self._certificate(subject) for subject in subjects]

    def _certificate(self, subject: Subject) -> Certificate:
        answer: Answer = "sensible" if any(word in subject.response.split() for word in self.sense) else "nonsense"
        return Certificate(
            verdict=answer, verdicts=(Verdict(check="w", verdict=answer, value=1, threshold=0, calibration_id="c"),)
        )


def criteria(rm: ToyRewardModel, quantile: float = 0.95) -> Criteria:
    rng = np.random.default_rng(1)
    prompts = [
        Prompt(conversation=prompt.conversation, reference=" ".join(rm.words(6, rng))) for prompt in toy_prompts(40)
    ]
    return clean_criteria(rm, prompts, quantile=quantile)


def plan(attack: Attack, prompts: Sequence[Prompt], rm: ToyRewardModel, *, budget: int, seed: int = 0) -> Plan:
    context = RoundContext(campaign_id="c", round=0, rm=rm, criteria_hash="h", seed=0)
    return plan_attempt(context, attack, prompts, seed=seed, budget=budget)


@dataclass(frozen=True, kw_only=True)
class Scripted(Attack):
    """Asks what its script says."""

    name: ClassVar[str] = "scripted"
    family: ClassVar[str] = "test"
    texts: tuple[tuple[str, ...], ...]

    def search(self, seed: int) -> Search:
        del seed
        for part in self.texts:
            yield Score(part)
