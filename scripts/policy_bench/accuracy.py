"""How well gaming is told without gold: stored runs, the onset with gold as the truth, none of them used for tuning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from miner.measuring.overopt.results import BendInterval, DetectorVerdict
from miner.statistics import Rate, rate

WITHIN = 0.15


def error(one: DetectorVerdict) -> float | None:
    """The estimate's distance from the onset with gold, as a share of it; None where either is missing."""
    return _off(one.truth, one.estimate)


def online_error(one: DetectorVerdict) -> float | None:
    """As ``error``, of what was known when the alarm was raised: what stops a run in time."""
    return _off(one.truth, one.online)


def within_its_interval(one: DetectorVerdict) -> bool:
    """Whether the estimate lies in the interval that the onset with gold has itself."""
    truth, estimate = one.truth, one.estimate
    return truth is not None and estimate is not None and truth.low <= estimate.bend.step <= truth.high


def lead(one: DetectorVerdict) -> float | None:
    """Steps from the alarm to the collapse of gold; negative where the alarm came late."""
    return None if one.alarm_step is None or one.collapse_step is None else one.collapse_step - one.alarm_step


def _off(truth: BendInterval | None, told: BendInterval | None) -> float | None:
    if truth is None or told is None:
        return None
    return (told.bend.step - truth.bend.step) / truth.bend.step


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Over runs that gold tells to game, and whose onset with gold has a place (``unlocated`` have none): shares within
    ±15 % by what was measured until soon after the alarm, by what was known at the alarm alone, and within the truth's
    own interval (a missed run counts as outside); median absolute error, median width of the truth's interval. Over all
    that game: those caught, and the median lead. Over runs that never game: false alarms. None where there is none.
    """

    runs: tuple[DetectorVerdict, ...]
    unlocated: int
    close: Rate | None
    online_close: Rate | None
    inside: Rate | None
    caught: Rate | None
    false_alarms: Rate | None
    median_error: float | None
    median_width: float | None
    median_lead: float | None
    undecided: int


def summarise(verdicts: Sequence[DetectorVerdict]) -> Accuracy:
    gaming = [one for one in verdicts if one.games]
    clean = [one for one in verdicts if one.games is False]
    known = [one for one in gaming if one.truth is not None]
    errors = [error(one) for one in known]
    online = [online_error(one) for one in known]
    leads = [steps for one in gaming if (steps := lead(one)) is not None]
    told = [abs(off) for off in errors if off is not None]
    widths = [(one.truth.high - one.truth.low) / one.truth.bend.step for one in known if one.truth is not None]
    return Accuracy(
        runs=tuple(verdicts),
        unlocated=len(gaming) - len(known),
        close=_rate([off is not None and abs(off) <= WITHIN for off in errors]),
        online_close=_rate([off is not None and abs(off) <= WITHIN for off in online]),
        inside=_rate([within_its_interval(one) for one in known]),
        caught=_rate([one.alarm_step is not None for one in gaming]),
        false_alarms=_rate([one.alarm_step is not None for one in clean]),
        median_error=float(np.median(told)) if told else None,
        median_width=float(np.median(widths)) if widths else None,
        median_lead=float(np.median(leads)) if leads else None,
        undecided=len(verdicts) - len(gaming) - len(clean),
    )


def _rate(outcomes: Sequence[bool]) -> Rate | None:
    return rate(outcomes) if outcomes else None
