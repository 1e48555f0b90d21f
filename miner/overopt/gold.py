"""Gold: the score we really mean, as far as somebody can give it. It may abstain, and never makes a score up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from corpus.records import Prompt, digest
from miner.errors import OutageError
from miner.overlap import rouge_l
from miner.rewards.base import Pair

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response to be judged. ``nonsense``: whether the checks convict it; None where they abstain."""

    prompt: Prompt
    response: str
    nonsense: bool | None = None

    @property
    def pair(self) -> Pair:
        return Pair(self.prompt.conversation, self.response)


class Gold(Protocol):
    """Scores answers, higher is better; None is an abstention (a judge that is down, a reference that is missing)."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    def scores(self, answers: Sequence[Answer]) -> list[float | None]:
        """One score per answer, in order."""
        ...


class Scorer(Protocol):
    """What is needed of a reward model that only scores: any adapter, an ensemble, a remote one."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    def exact_rewards(self, pairs: Sequence[Pair]) -> Floats: ...


@dataclass(frozen=True, kw_only=True)
class RewardGold:
    """A second reward model that knows nothing of the first, as gold. Its scale is its own.

    One behind HTTP that gives no answer however often it is asked abstains.
    """

    rm: Scorer

    @property
    def name(self) -> str:
        return f"reward of {self.rm.name}"

    @property
    def fingerprint(self) -> str:
        return digest(["reward", self.rm.fingerprint])

    def scores(self, answers: Sequence[Answer]) -> list[float | None]:
        try:
            found = self.rm.exact_rewards([answer.pair for answer in answers])
        except OutageError:
            return [None] * len(answers)
        return [float(value) if np.isfinite(value) else None for value in found]


@dataclass(frozen=True, kw_only=True)
class OverlapGold:
    """Near-gold: ROUGE-L (F1 over words) with the reference, zero for what the checks convict as nonsense.

    Order counts: a shuffled reference shares only its longest common subsequence. Abstains without a reference.
    """

    name: str = "overlap with the reference"

    @property
    def fingerprint(self) -> str:
        return digest(["rouge-l", 2])

    def scores(self, answers: Sequence[Answer]) -> list[float | None]:
        return [self._score(answer) for answer in answers]

    def _score(self, answer: Answer) -> float | None:
        if answer.prompt.reference is None:
            return None
        return 0.0 if answer.nonsense else rouge_l(answer.response, answer.prompt.reference)
