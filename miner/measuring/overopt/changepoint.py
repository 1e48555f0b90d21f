"""Where a curve bends upwards: two straight lines that meet, by least squares over every place they could meet.

The bend is a time, so it gets an interval like any estimate: whole prompts are resampled, the mean curve is bent again.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from miner.measuring.overopt.results import Bend, BendInterval
from miner.statistics import percentile_interval, times_drawn

Floats = npt.NDArray[np.float64]

PER_GAP = 4  # places tried between two measured steps
MIN_POINTS = 6
MIN_PROMPTS = 8
RESAMPLES = 400
ROUNDING = 1e-12  # of a curve's squares: what no line leaves is not told apart from nothing


def bend(steps: Floats, values: Floats) -> Bend | None:
    """The upward bend of one curve; None where it has too few points or bends nowhere upwards."""
    return _bends(steps, values[None])[0]


def bend_interval(steps: Floats, by_prompt: Floats, *, seed: int = 0) -> BendInterval | None:
    """The bend of the mean over prompts of (n_prompts, n_steps); None as ``bend``, or with too few prompts."""
    n_prompts = len(by_prompt)
    found = bend(steps, by_prompt.mean(0))
    if found is None or n_prompts < MIN_PROMPTS:
        return None
    drawn = times_drawn(n_prompts, seed=seed, resamples=RESAMPLES)
    resampled = [one for one in _bends(steps, drawn @ by_prompt / n_prompts) if one is not None]
    if not resampled:
        return None
    low, high = percentile_interval(np.array([one.step for one in resampled]))
    return BendInterval(bend=found, low=float(low), high=float(high), support=len(resampled) / RESAMPLES)


def _bends(steps: Floats, curves: Floats) -> list[Bend | None]:
    """The bend of each curve, shape (n_curves, n_steps)."""
    if len(steps) < MIN_POINTS:
        return [None] * len(curves)
    straight = _projector(np.stack([np.ones_like(steps), steps], 1))
    plain = _left(curves, straight)
    places = _places(steps)
    left, gains = np.empty((len(places), len(curves))), np.empty((len(places), len(curves)))
    for at, place in enumerate(places):
        columns = np.stack([np.ones_like(steps), steps, np.maximum(steps - place, 0)], 1)
        left[at] = _left(curves, _projector(columns))
        gains[at] = (np.linalg.pinv(columns) @ curves.T)[2]
    left = np.where(gains > 0, left, np.inf)
    best = left.argmin(0)
    return [
        None
        if not np.isfinite(left[best[i], i])
        else Bend(
            step=float(places[best[i]]),
            gain=float(gains[best[i], i]),
            t=float(np.sqrt(max(plain[i] / left[best[i], i] - 1, 0.0) * (len(steps) - 3))),
        )
        for i in range(len(curves))
    ]


def _places(steps: Floats) -> Floats:
    """At least two measured steps on either side: a line through one point says nothing."""
    inner = steps[1:-1]
    return np.interp(np.arange((len(inner) - 1) * PER_GAP + 1) / PER_GAP, np.arange(len(inner)), inner)


def _projector(columns: Floats) -> Floats:
    q, _ = np.linalg.qr(columns)
    return np.asarray(q, dtype=np.float64)


def _left(curves: Floats, basis: Floats) -> Floats:
    """Squared residuals of each curve off the span of ``basis``."""
    squares = (curves**2).sum(1)
    left = squares - ((curves @ basis) ** 2).sum(1)
    return np.asarray(np.maximum(left, ROUNDING * squares + np.finfo(float).tiny), dtype=np.float64)
