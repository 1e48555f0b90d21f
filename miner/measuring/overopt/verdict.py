"""Compares one run's onset with gold to the alarm raised without it."""

from __future__ import annotations

import numpy as np

from miner.measuring.overopt.curves import Curves, smoothed
from miner.measuring.overopt.detector import Detector
from miner.measuring.overopt.onset import gold_onset
from miner.measuring.overopt.results import DetectorVerdict, GoldOnset


def verdict_on_run(
    name: str, curves: Curves, detector: Detector, *, seed: int = 0, truth: GoldOnset | None = None
) -> DetectorVerdict:
    """Both onsets of one run; ``truth`` is the gold onset, if already computed."""
    gold, alarm = truth or gold_onset(curves, seed=seed), detector.alarm(curves, seed=seed)
    return DetectorVerdict(
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


def _collapse(curves: Curves) -> float:
    """The first step behind gold's best at which half of its fall has happened, on a curve smoothed over three."""
    whole = curves.whole("gold")
    smooth = smoothed(whole.mean("gold"))
    peak = int(smooth.argmax())
    half = (smooth[peak] + smooth[peak:].min()) / 2
    return float(whole.steps[peak + int(np.argmax(smooth[peak:] <= half))])
