"""Gold: the score we really mean, as far as somebody can give it. It may abstain, and never makes a score up.

Near-gold is overlap with a good answer beyond that with other prompts' good answers, nothing for what the checks
convict as nonsense; another RM's reward is gold only as far as that RM is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from heapq import nsmallest
from random import Random
from typing import Protocol

import numpy as np
import numpy.typing as npt

from corpus.records import Conversation, Prompt, digest
from miner.errors import OutageError
from miner.judging.checks import Certifier, Subject
from miner.judging.overlap import rouge_l, words
from miner.rewards.base import Pair, Scorer

Floats = npt.NDArray[np.float64]

CHUNK = 16  # answers asked for again together, once an outage has cost a whole batch
LAST_OUTAGE = 2  # chunks without an answer in a row, after which no more are asked for
CONSTANTS = 8  # references that are each given to every prompt, for the floor
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
    """Scores answers, higher is better; None is an abstention (an LLM that is down, a reference that is missing).

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
class ContrastGold:
    """Near-gold: is this the answer to *this* prompt? ROUGE-L (F1 over words) with its reference less the mean with
    those references of other prompts, ``neighbours`` of them, that are nearest to it in length; zero for what the
    checks convict as nonsense.

    Overlap alone can be earned by any fluent constant: "the of a the" overlaps with a docstring more than a policy's
    answers do. The same answer to every prompt earns nothing here in expectation, the reference itself nearly 1.
    Abstains without a reference, and where no other prompt has one.
    """

    references: tuple[str, ...]
    neighbours: int = 16
    name: str = "overlap with the reference, less that with other prompts' references"
    needs_reference: bool = True

    @classmethod
    def of(cls, prompts: Sequence[Prompt]) -> ContrastGold:
        """With the references of ``prompts``, each text once."""
        return cls(references=tuple(sorted({prompt.reference for prompt in prompts if prompt.reference is not None})))

    @property
    def fingerprint(self) -> str:
        return digest(["contrast of rouge-l", 1, self.neighbours, self.references])

    def scores(self, answers: Sequence[Answer]) -> list[float | None]:
        return [None if one.reference is None else self._score(one, one.reference) for one in answers]

    def _score(self, answer: Answer, reference: str) -> float | None:
        others = self._others(reference)
        if not others:
            return None
        if answer.nonsense:
            return 0.0
        own = rouge_l(answer.response, reference)
        return own - sum(rouge_l(answer.response, other) for other in others) / len(others)

    def _others(self, reference: str) -> tuple[str, ...]:
        if reference not in self._nearest:
            length = len(words(reference))
            found = ((abs(n_words - length), one) for one, n_words in self._lengths if one != reference)
            self._nearest[reference] = tuple(one for _, one in nsmallest(self.neighbours, found))
        return self._nearest[reference]

    @cached_property
    def _lengths(self) -> list[tuple[str, int]]:
        return [(one, len(words(one))) for one in self.references]

    @cached_property
    def _nearest(self) -> dict[str, tuple[str, ...]]:
        return {}


@dataclass(frozen=True, kw_only=True)
class JudgedGold:
    """``gold`` of answers with a verdict: those that come without one get that of the checks."""

    gold: Gold
    certifier: Certifier

    @property
    def name(self) -> str:
        checks = ", ".join(one.check.name for one in self.certifier.checks)
        return f"{self.gold.name}, 0 where the checks convict ({checks})"

    @property
    def fingerprint(self) -> str:
        return digest(["judged", self.gold.fingerprint, self.certifier.identity])

    @property
    def needs_reference(self) -> bool:
        return self.gold.needs_reference

    def scores(self, answers: Sequence[Answer]) -> list[float | None]:
        open_ = [at for at, answer in enumerate(answers) if answer.nonsense is None]
        subjects = [Subject(response=answers[at].response, prompt=answers[at].prompt) for at in open_]
        told = list(answers)
        for at, certificate in zip(open_, self.certifier.certify(subjects), strict=True):
            told[at] = replace(told[at], nonsense=CONVICTED[certificate.verdict])
        return self.gold.scores(told)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldFloor:
    """What gold gives to answers that answer nothing, in the mean over prompts.

    ``chance``: every prompt with the reference of another. ``constant``: the best of a few references, given to every
    prompt; picked on these prompts, so that it is a little lucky.
    """

    chance: float
    constant: float


def gold_floor(gold: Gold, prompts: Sequence[Prompt]) -> GoldFloor | None:
    """The floor on ``prompts``; None with fewer than two references, or where gold abstains on half of the answers."""
    known = [prompt for prompt in prompts if prompt.reference is not None]
    Random(0).shuffle(known)  # neighbours often come from one place and have much the same answer
    if len({prompt.reference for prompt in known}) < 2:
        return None
    constants = [str(prompt.reference) for prompt in known[:: max(1, len(known) // CONSTANTS)][:CONSTANTS]]
    moved = [str(prompt.reference) for prompt in (*known[1:], known[0])]
    answers = [(prompt, text) for prompt, text in zip(known, moved, strict=True)]
    answers += [(prompt, text) for text in constants for prompt in known]
    asked = [
        Answer(prompt=p.conversation, response=text, reference=p.reference, nonsense=False)  # they are good answers
        for p, text in answers
    ]
    scores = np.array([np.nan if score is None else score for score in gold.scores(asked)]).reshape(-1, len(known))
    if (np.isfinite(scores).mean(1) <= 1 / 2).any():
        return None
    chance, *constant = np.nanmean(scores, 1).tolist()
    return GoldFloor(chance=chance, constant=max(constant))
