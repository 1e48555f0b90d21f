"""Gold: the score we really mean, as far as somebody can give it. It may abstain, and never makes a score up.

Near-gold is overlap with a good answer, nothing for what the checks convict as nonsense; another RM's reward is gold
only as far as that RM is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from corpus.records import Conversation, digest
from miner.errors import OutageError
from miner.judging.checks import Judge, Subject
from miner.judging.overlap import rouge_l
from miner.rewards.base import Pair, Scorer

Floats = npt.NDArray[np.float64]

CHUNK = 16  # answers asked for again together, once an outage has cost a whole batch
LAST_OUTAGE = 2  # chunks without an answer in a row, after which no more are asked for
CONVICTED: dict[str, bool | None] = {"nonsense": True, "sensible": False, "abstain": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response to be scored. ``nonsense``: whether the checks convict it; None where they abstain or nobody asked."""

    prompt: Conversation
    response: str
    reference: str | None = None
    nonsense: bool | None = None

    @property
    def pair(self) -> Pair:
        return Pair(self.prompt, self.response)


class Gold(Protocol):
    """Scores answers, higher is better; None is an abstention (a judge that is down, a reference that is missing).

    ``needs_reference``: it abstains on every answer without one.
    """

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def needs_reference(self) -> bool: ...

    def scores(self, answers: Sequence[Answer]) -> list[float | None]:
        """One score per answer, in order."""
        ...


@dataclass(frozen=True, kw_only=True)
class RewardGold:
    """A second reward model that knows nothing of the first, as gold. Its scale is its own.

    It abstains where its reward is not finite. One behind HTTP that gives no answer however often it is asked abstains,
    too: the answers are asked for once more in chunks, so that one that it cannot bear costs its chunk alone, until the
    server is seen to be down.
    """

    rm: Scorer
    needs_reference: bool = False

    @property
    def name(self) -> str:
        return f"reward of {self.rm.name}"

    @property
    def fingerprint(self) -> str:
        return digest(["reward", self.rm.fingerprint])

    def scores(self, answers: Sequence[Answer]) -> list[float | None]:
        found = self._asked(answers)
        if found is not None or len(answers) <= CHUNK:
            return found or [None] * len(answers)
        scores: list[float | None] = []
        failed = 0
        for start in range(0, len(answers), CHUNK):
            chunk = answers[start : start + CHUNK]
            found = self._asked(chunk) if failed < LAST_OUTAGE else None
            failed = failed + 1 if found is None else 0
            scores += found or [None] * len(chunk)
        return scores

    def _asked(self, answers: Sequence[Answer]) -> list[float | None] | None:
        try:
            found = self.rm.exact_rewards([answer.pair for answer in answers])
        except OutageError:
            return None
        return [float(value) if np.isfinite(value) else None for value in found]


@dataclass(frozen=True, kw_only=True)
class OverlapGold:
    """Near-gold: ROUGE-L (F1 over words) with the reference, zero for what the checks convict as nonsense.

    Order counts: a shuffled reference shares only its longest common subsequence. 1 is the reference itself; another
    good answer scores too low. Abstains without a reference.
    """

    name: str = "overlap with the reference"
    needs_reference: bool = True

    @property
    def fingerprint(self) -> str:
        return digest(["rouge-l", 2])

    def scores(self, answers: Sequence[Answer]) -> list[float | None]:
        return [self._score(answer) for answer in answers]

    def _score(self, answer: Answer) -> float | None:
        if answer.reference is None:
            return None
        return 0.0 if answer.nonsense else rouge_l(answer.response, answer.reference)


@dataclass(frozen=True, kw_only=True)
class JudgedGold:
    """``gold``, told what ``judge`` says of the answers that come without a verdict."""

    gold: Gold
    judge: Judge

    @property
    def name(self) -> str:
        checks = ", ".join(one.check.name for one in self.judge.checks)
        return f"{self.gold.name}, 0 where the checks convict ({checks})"

    @property
    def fingerprint(self) -> str:
        return digest(["judged", self.gold.fingerprint, self.judge.identity])

    @property
    def needs_reference(self) -> bool:
        return self.gold.needs_reference

    def scores(self, answers: Sequence[Answer]) -> list[float | None]:
        open_ = [at for at, answer in enumerate(answers) if answer.nonsense is None]
        subjects = [Subject(response=answers[at].response, prompt=answers[at].prompt) for at in open_]
        told = list(answers)
        for at, certificate in zip(open_, self.judge.certify(subjects), strict=True):
            told[at] = replace(told[at], nonsense=CONVICTED[certificate.verdict])
        return self.gold.scores(told)
