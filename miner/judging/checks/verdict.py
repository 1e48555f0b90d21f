"""From the checks' values to one verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from corpus.records import Answer, Verdict, digest
from miner.errors import ConfigError
from miner.judging.checks.base import Check, Subject

DEFAULT_QUORUM = 1
DECIMALS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibratedCheck:
    """A check with the threshold above which it says nonsense.

    ``target`` is the false-alarm rate that the threshold was set for; None where the check fixes it itself. ``spread``
    see ``Check.calibration_values``.
    """

    check: Check
    threshold: float
    target: float | None
    calibration_id: str
    spread: float = 0.0

    def verdicts(self, subjects: Sequence[Subject]) -> list[Verdict]:
        return [self._verdict(float(value)) for value in self.check.values_about(subjects, self.threshold, self.spread)]

    def _verdict(self, value: float) -> Verdict:
        answer: Answer = "abstain" if math.isnan(value) else "nonsense" if value > self.threshold else "sensible"
        return Verdict(
            check=self.check.name,
            verdict=answer,
            value=value,
            threshold=self.threshold,
            calibration_id=self.calibration_id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The verdict on a text, and the checks' verdicts it rests on."""

    verdict: Answer
    verdicts: tuple[Verdict, ...]


class AnyCertifier(Protocol):
    """Whoever says which texts are nonsense; ours is the ``Certifier``."""

    @property
    def identity(self) -> str: ...

    def certify(self, subjects: Sequence[Subject]) -> list[Certificate]: ...


@dataclass(frozen=True, kw_only=True)
class Certifier:
    """Convicts where at least ``quorum`` checks say nonsense and none that can acquit says sensible.

    One nonsense answer is enough by default, because the only strong check of any salad is the order of its words: a
    second vote would have to come from fluency, which sees a sixth of random words and two thirds of shuffled ones, or
    from relevance, which on most good answers sees nothing. What keeps a quorum of one honest is the
    acquittal: text that loses much by shuffling is not convicted for rare words or on its attack's word (only for
    sheer repetition). So the order check's false-alarm rate is the certifier's, but for the texts on which it abstains.

    ``code`` names the code that judges, for whoever keeps verdicts longer than it.
    """

    checks: tuple[CalibratedCheck, ...]
    quorum: int = DEFAULT_QUORUM
    code: str = ""

    def __post_init__(self) -> None:
        names = [calibrated.check.name for calibrated in self.checks]
        require_quorum(self.quorum, names)
        if len(set(names)) < len(names):
            raise ConfigError(f"a check can vote once; got {', '.join(names)}")

    @cached_property
    def identity(self) -> str:
        """Digest of all that decides a verdict; measured numbers to ``DECIMALS``, since another number of threads or
        another batch changes the digits behind them."""
        rows = sorted(
            [c.check.name, c.check.identity, *(round(x, DECIMALS) for x in (c.threshold, c.spread)), c.calibration_id]
            for c in self.checks
        )
        return digest([self.quorum, rows, *([self.code] if self.code else [])])

    def certify(self, subjects: Sequence[Subject]) -> list[Certificate]:
        """One certificate per subject, in order."""
        if not subjects:
            return []
        by_check = [calibrated.verdicts(subjects) for calibrated in self.checks]
        return [self._certificate(verdicts) for verdicts in zip(*by_check, strict=True)]

    def _certificate(self, verdicts: tuple[Verdict, ...]) -> Certificate:
        acquitted = any(
            calibrated.check.acquits and verdict.verdict == "sensible"
            for calibrated, verdict in zip(self.checks, verdicts, strict=True)
        )
        convicting = sum(
            verdict.verdict == "nonsense" and not (acquitted and calibrated.check.yields_to_acquittal)
            for calibrated, verdict in zip(self.checks, verdicts, strict=True)
        )
        answers = [verdict.verdict for verdict in verdicts]
        return Certificate(verdict=decide(answers, convicting, self.quorum), verdicts=verdicts)


def require_quorum(quorum: int, names: Sequence[str]) -> None:
    """Refuse a quorum that the checks of these names cannot meet.

    Raises:
        ConfigError: there are too few.
    """
    if not 1 <= quorum <= len(names):
        raise ConfigError(
            f"a quorum of {quorum} with {len(names)} checks ({', '.join(names) or 'none'}) cannot be met. "
            "Lower checks.quorum, or name more checks"
        )


def decide(answers: Sequence[Answer], convicting: int, quorum: int) -> Answer:
    """Nonsense where a quorum of answers stands; abstain where too few checks gave evidence for one; else sensible."""
    if convicting >= quorum:
        return "nonsense"
    return "abstain" if len(answers) - answers.count("abstain") < quorum else "sensible"
