"""The plots of a study: proxy and gold against √KL and against steps, and best-of-n."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from miner.overopt.comparison import BUDGETS
from miner.overopt.fits import Fit, predicted
from miner.overopt.summary import Point, RunSummary, StudySummary
from miner.report import ink as style
from miner.report.ink import Ink

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIGNALS = ("second", "surprise", "latent", "entropy", "repetition", "nonsense")
TITLES = {
    "second": "second RM (SD)",
    "surprise": "surprise (nats per token)",
    "latent": "distance from clean text",
    "entropy": "entropy (nats per token)",
    "repetition": "repeated word pairs",
    "nonsense": "certified nonsense",
}


def against_steps(summary: StudySummary, ink: Ink) -> Figure | None:
    """Proxy above gold by step, the onset with gold marked with its interval."""
    return _proxy_and_gold(summary, ink, x="RL step", place=lambda point: float(point.step), marks=True)


def against_distance(summary: StudySummary, ink: Ink) -> Figure | None:
    """Proxy above gold by √KL, with the fitted law of each run."""
    return _proxy_and_gold(summary, ink, x="√KL from the reference policy", place=_distance, marks=False)


def _proxy_and_gold(
    summary: StudySummary, ink: Ink, *, x: str, place: Callable[[Point], float], marks: bool
) -> Figure | None:
    if not summary.runs:
        return None
    figure = style.new_figure(ink, 5.2)
    above, below = figure.subplots(2, 1, sharex=True)
    style.styled(above, ink, x="", y="proxy (clean SD)")
    style.styled(below, ink, x=x, y="gold")
    for number, run in enumerate(summary.runs):
        colour, line = ink.colour(number), style.LINES[number % len(style.LINES)]
        for axes, name in ((above, "proxy"), (below, "gold")):
            known = [(place(p), getattr(p, name)) for p in run.points if getattr(p, name) is not None]
            if known:
                axes.plot(*zip(*known, strict=True), color=colour, linestyle=line, linewidth=1.2, label=run.info.name)
        if marks and run.with_gold.onset is not None:
            onset = run.with_gold.onset
            below.axvspan(onset.low, onset.high, color=colour, alpha=0.08, linewidth=0)
            below.axvline(onset.bend.step, color=colour, linewidth=0.9, linestyle=":")
        if not marks and run.fit is not None:
            _law(below, run, run.fit, colour)
    threshold = summary.runs[0].info.bar.get("threshold")
    if threshold is not None:
        above.axhline(threshold, color=ink.text, linewidth=1, linestyle="--")
    if len(summary.runs) <= 8:
        style.legend_beside(above, ink)
    return figure


def _law(axes: Axes, run: RunSummary, fit: Fit, colour: str) -> None:
    first = run.points[0].gold
    if first is None:
        return
    d = np.linspace(0, max(_distance(point) for point in run.points), 60)
    axes.plot(d, first + predicted("rl", d, fit.alpha.value, fit.beta.value), color=colour, linewidth=2, alpha=0.35)


def signals(summary: StudySummary, ink: Ink) -> Figure | None:
    """What can be seen without gold, by step."""
    known = [n for n in SIGNALS if any(getattr(p, n) is not None for run in summary.runs for p in run.points)]
    if not known:
        return None
    figure = style.new_figure(ink, 0.5 + 1.9 * math.ceil(len(known) / 3))
    panels = figure.subplots(math.ceil(len(known) / 3), 3, squeeze=False).ravel()
    for axes, name in zip(panels, known, strict=False):
        style.styled(axes, ink, x="RL step", y="")
        style.titled(axes, ink, TITLES[name])
        for number, run in enumerate(summary.runs):
            values = [(p.step, getattr(p, name)) for p in run.points if getattr(p, name) is not None]
            if values:
                axes.plot(*zip(*values, strict=True), color=ink.colour(number), linewidth=1.1)
    for axes in panels[len(known) :]:
        axes.set_axis_off()
    return figure


def best_of_n(summary: StudySummary, ink: Ink) -> Figure | None:
    """Proxy and gold of the best of n against √KL, with intervals over prompts."""
    pool = summary.pool
    if pool is None:
        return None
    figure = style.new_figure(ink, 2.9)
    panels = figure.subplots(1, 2)
    distance = np.sqrt(pool.kl)
    for axes, name, colour in zip(panels, ("proxy", "gold"), (ink.colour(0), ink.colour(1)), strict=True):
        found = getattr(pool, name)
        style.styled(axes, ink, x=f"√KL bound (n = 1 to {pool.ns[-1]:,})", y=f"{name}, best of n")
        axes.plot(distance, [one.value for one in found], color=colour, marker="o", markersize=4)
        axes.fill_between(
            distance, [one.low for one in found], [one.high for one in found], color=colour, alpha=0.18, linewidth=0
        )
    return figure


def compared(summary: StudySummary, ink: Ink) -> Figure | None:
    """Gold at the same distances from the reference policy, before and after: thin by run, thick their mean."""
    comparison = summary.comparison
    if comparison is None or not comparison.budgets:
        return None
    figure = style.new_figure(ink, 2.9)
    axes = figure.subplots()
    style.styled(axes, ink, x="nats from the reference policy", y="gold")
    axes.set_xscale("log")
    for number, (name, label) in enumerate((("before", comparison.before), ("after", comparison.after))):
        gold = np.array([getattr(pair, name).at_budget for pair in comparison.pairs], dtype=np.float64)
        for row in gold:
            axes.plot(BUDGETS, row, color=ink.colour(number), linewidth=0.6, alpha=0.4)
        known = np.isfinite(gold).any(0)
        means = np.nanmean(gold[:, known], 0)
        axes.plot(np.array(BUDGETS)[known], means, color=ink.colour(number), linewidth=2.2, marker="o", label=label)
    style.legend_beside(axes, ink)
    return figure


def _distance(point: Point) -> float:
    return math.sqrt(max(point.kl or 0.0, 0.0))


FIGURES = {
    "steps": against_steps,
    "distance": against_distance,
    "signals": signals,
    "best_of_n": best_of_n,
    "compared": compared,
}
