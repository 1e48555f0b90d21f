"""How well gaming is told without gold: stored runs, the onset with gold as the truth, none of them used for tuning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from miner.measuring.overopt.changepoint import BendInterval
from miner.measuring.overopt.curves import Curves, smoothed
from miner.measuring.overopt.detector import Detector
from miner.measuring.overopt.onset import GoldOnset, gold_onset
from miner.statistics import Rate, rate

WITHIN = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One run: what gold says of it, and what the detector says without."""

    run: str
    games: bool | None
    reason: str
    truth: BendInterval | None
    estimate: BendInterval | None
    alarm_step: float | None
    online: BendInterval | None
    collapse_step: float | None  # where gold has lost half of what it loses
    last_step: float

    @property
    def error(self) -> float | None:
        """The estimate's distance from the onset with gold, as a share of it; None where either is missing."""
        return self._off(self.estimate)

    @property
    def online_error(self) -> float | None:
        """As ``error``, of what was known when the alarm was raised: what stops a run in time."""
        return self._off(self.online)

    def _off(self, told: BendInterval | None) -> float | None:
        if self.truth is None or told is None:
            return None
        return (told.bend.step - self.truth.bend.step) / self.truth.bend.step

    @property
    def within_its_interval(self) -> bool | None:
        """Whether the estimate lies in the interval that the onset with gold has itself."""
        if self.truth is None:
            return None
        return self.estimate is not None and self.truth.low <= self.estimate.bend.step <= self.truth.high

    @property
    def lead(self) -> float | None:
        """Steps from the alarm to the collapse of gold; negative where the alarm came late."""
        if self.alarm_step is None or self.collapse_step is None:
            return None
        return self.collapse_step - self.alarm_step


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Over runs that gold tells to game, and whose onset with gold has a place (``unlocated`` have none): shares within
    ±15 % by what was measured until soon after the alarm, by what was known at the alarm alone, and within the truth's
    own interval (a missed run counts as outside); median absolute error, median width of the truth's interval. Over all
    that game: those caught, and the median lead. Over runs that never game: false alarms. None where there is none.
    """

    runs: tuple[Judged, ...]
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


def judge_run(
    name: str, curves: Curves, detector: Detector, *, seed: int = 0, truth: GoldOnset | None = None
) -> Judged:
    """One run; ``truth`` where it has been told already."""
    gold, alarm = truth or gold_onset(curves, seed=seed), detector.alarm(curves, seed=seed)
    return Judged(
        run=name,
        games=gold.games,
        reason=gold.reason,
        truth=gold.onset,
        estimate=alarm.onset,
        alarm_step=alarm.step,
        online=alarm.online,
        collapse_step=_collapse(curves) if gold.games else None,
        last_step=float(curves.steps[-1]),
    )


def summarise(judged: Sequence[Judged]) -> Accuracy:
    gaming = [one for one in judged if one.games]
    clean = [one for one in judged if one.games is False]
    known = [one for one in gaming if one.truth is not None]
    errors = [abs(one.error) for one in known if one.error is not None]
    leads = [one.lead for one in gaming if one.lead is not None]
    widths = [(one.truth.high - one.truth.low) / one.truth.bend.step for one in known if one.truth is not None]
    return Accuracy(
        runs=tuple(judged),
        unlocated=len(gaming) - len(known),
        close=_rate([one.error is not None and abs(one.error) <= WITHIN for one in known]),
        online_close=_rate([one.online_error is not None and abs(one.online_error) <= WITHIN for one in known]),
        inside=_rate([bool(one.within_its_interval) for one in known]),
        caught=_rate([one.alarm_step is not None for one in gaming]),
        false_alarms=_rate([one.alarm_step is not None for one in clean]),
        median_error=float(np.median(errors)) if errors else None,
        median_width=float(np.median(widths)) if widths else None,
        median_lead=float(np.median(leads)) if leads else None,
        undecided=len(judged) - len(gaming) - len(clean),
    )


def _rate(outcomes: Sequence[bool]) -> Rate | None:
    return rate(outcomes) if outcomes else None


def _collapse(curves: Curves) -> float:
    """The first step behind gold's best at which half of its fall has happened, on a curve smoothed over three."""
    whole = curves.whole("gold", "proxy")
    smooth = smoothed(whole.mean("gold"))
    peak = int(smooth.argmax())
    half = (smooth[peak] + smooth[peak:].min()) / 2
    return float(whole.steps[peak + int(np.argmax(smooth[peak:] <= half))])
