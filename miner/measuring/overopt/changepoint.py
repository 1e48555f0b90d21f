"""Where a curve bends upwards: two straight lines that meet, by least squares over every place they could meet.

The bend is a time, so it gets an interval like any estimate: whole prompts are resampled, the mean curve is bent again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

PER_GAP = 4  # places tried between two measured steps
MIN_POINTS = 6
MIN_PROMPTS = 8
RESAMPLES = 400
TAIL = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Bend:
    """Two lines meeting at ``step``. ``gain`` is how much steeper the second is; ``explained`` the share of what one
    line leaves that the second line explains."""

    step: float
    gain: float
    explained: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BendInterval:
    """A bend, and where 95 % of resampled curves have theirs; ``support`` is the share of them that bend upwards."""

    bend: Bend
    low: float
    high: float
    support: float


def bend(steps: Floats, values: Floats) -> Bend | None:
    """The upward bend of one curve; None where it has too few points or bends nowhere upwards."""
    return _bends(steps, values[None])[0]


def bend_interval(steps: Floats, by_prompt: Floats, *, seed: int = 0) -> BendInterval | None:
    """The bend of the mean over prompts of (n_prompts, n_steps); None as ``bend``, or with too few prompts."""
    n_prompts = len(by_prompt)
    found = bend(steps, by_prompt.mean(0))
    if found is None or n_prompts < MIN_PROMPTS:
        return None
    drawn = np.random.default_rng(seed).integers(n_prompts, size=(RESAMPLES, n_prompts))
    resampled = [one for one in _bends(steps, by_prompt[drawn].mean(1)) if one is not None]
    if not resampled:
        return None
    low, high = np.percentile([one.step for one in resampled], (TAIL, 100 - TAIL))
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
            explained=float(1 - left[best[i], i] / plain[i]) if plain[i] > 0 else 0.0,
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
    left: Floats = (curves**2).sum(1) - ((curves @ basis) ** 2).sum(1)
    return np.maximum(left, 0.0)
