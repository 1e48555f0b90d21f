"""Over-optimisation laws fitted to a curve (Gao et al. 2023): with d = √KL, gold gained is d(α − βd) for best-of-n and
d(α − β log d) for reinforcement learning. Both are linear in α and β, so that least squares is exact."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from miner.measuring.overopt.results import Fit, Law, ValueWithInterval
from miner.statistics import cluster_bootstrap

Floats = npt.NDArray[np.float64]

MIN_POINTS = 4
MIN_PROMPTS = 8
RESAMPLES = 1000


def fit(law: Law, distance: Floats, gold: Floats, *, seed: int = 0) -> Fit | None:
    """Fit ``law`` to gold by prompt, (n_prompts, n_points), at distances of the same shape or (n_points,).

    The gold of the first point is the zero. Intervals are from prompts resampled whole. None with fewer than
    ``MIN_POINTS`` points or ``MIN_PROMPTS`` prompts: an interval of so few would be made up.
    """
    n_prompts, n_points = gold.shape
    if n_prompts < MIN_PROMPTS or n_points < MIN_POINTS:
        return None
    by_prompt = np.broadcast_to(distance, gold.shape) ** 2  # KL averages, its root does not
    alpha, beta, residual = _solve(law, np.sqrt(by_prompt.mean(0)), gold.mean(0))

    def resampled(drawn: Floats) -> tuple[float, float]:
        return _solve(law, np.sqrt(drawn @ by_prompt / n_prompts), drawn @ gold / n_prompts)[:2]

    low, high = cluster_bootstrap(resampled, n_prompts, seed=seed, resamples=RESAMPLES)
    at = np.sqrt(by_prompt.mean(0))
    return Fit(
        law=law,
        alpha=ValueWithInterval(value=alpha, low=float(low[0]), high=float(high[0])),
        beta=ValueWithInterval(value=beta, low=float(low[1]), high=float(high[1])),
        peak=_peak(law, alpha, beta, float(at.max())),
        residual=residual,
        n_points=n_points,
        n_prompts=n_prompts,
    )


def predicted(law: Law, distance: Floats, alpha: float, beta: float) -> Floats:
    """Gold gained at ``distance``."""
    return alpha * distance - beta * _second(law, distance)


def _second(law: Law, distance: Floats) -> Floats:
    if law == "bon":
        return distance**2
    return distance * np.log(np.where(distance > 0, distance, 1.0))


def _solve(law: Law, distance: Floats, gold: Floats) -> tuple[float, float, float]:
    gained = gold - gold[0]
    columns = np.stack([distance, -_second(law, distance)], axis=1)
    (alpha, beta), *_ = np.linalg.lstsq(columns, gained, rcond=None)
    left = gained - columns @ np.array([alpha, beta])
    return float(alpha), float(beta), float(np.sqrt(np.mean(left**2)))


def _peak(law: Law, alpha: float, beta: float, furthest: float) -> float | None:
    if beta <= 0 or alpha <= 0:
        return None
    at = alpha / (2 * beta) if law == "bon" else float(np.exp(min(alpha / beta - 1, 700)))
    return at if at <= furthest else None
