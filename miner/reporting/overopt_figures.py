"""The plots of a study: proxy and gold against √KL and against steps, and best-of-n."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from miner.measuring.overopt.bands import mean_curve
from miner.measuring.overopt.by_kl_weight import RunsAtKl, by_kl_weight
from miner.measuring.overopt.comparison import BUDGETS
from miner.measuring.overopt.fits import predicted
from miner.measuring.overopt.results import StepMeans, StudySummary
from miner.reporting import plot_style as style
from miner.reporting.plot_style import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Place = Callable[[StepMeans], float]
"""Where a point lies on the x axis."""

SIGNALS = ("second", "surprise", "latent", "entropy", "repetition", "nonsense")
TITLES = {
    "second": "second RM (SD)",
    "surprise": "surprise (nats per token)",
    "latent": "distance from clean text",
    "entropy": "entropy (nats per token)",
    "repetition": "repeated word pairs",
    "nonsense": "certified nonsense",
}


def against_steps(summary: StudySummary, theme: Theme) -> Figure | None:
    """Proxy above gold by step, the onsets with gold marked: thin by run, thick their mean with its band."""
    return _proxy_and_gold(summary, theme, "RL step", lambda point: float(point.step), _onsets)


def against_distance(summary: StudySummary, theme: Theme) -> Figure | None:
    """Proxy above gold by √KL, with the law of the runs' mean α and β."""
    return _proxy_and_gold(summary, theme, "√KL from the reference policy", _distance, _law)


def _proxy_and_gold(
    summary: StudySummary, theme: Theme, x: str, place: Place, mark: Callable[[Axes, RunsAtKl, str], None]
) -> Figure | None:
    if not summary.runs:
        return None
    figure = style.new_figure(theme, 5.4)
    above, below = figure.subplots(2, 1, sharex=True)
    style.styled(above, theme, x="", y="proxy (clean SD)")
    style.styled(below, theme, x=x, y="gold")
    for number, group in enumerate(by_kl_weight(summary.runs)):
        for axes, name in ((above, "proxy"), (below, "gold")):
            _runs_and_mean(axes, group, name, place, theme.colour(number))
        mark(below, group, theme.colour(number))
    threshold = summary.runs[0].info.bar.get("threshold")
    if threshold is not None:
        above.axhline(threshold, color=theme.text, linewidth=1, linestyle="--", label="what a win has to reach")
    style.shared_legend(figure, [above, below], theme)
    return figure


def _runs_and_mean(axes: Axes, group: RunsAtKl, name: str, place: Place, colour: str) -> None:
    found = mean_curve(group.runs, name, place)
    if found is None:
        return
    for run in group.runs if len(group.runs) > 1 else ():
        known = [(place(p), getattr(p, name)) for p in run.points if getattr(p, name) is not None]
        axes.plot(*zip(*known, strict=True), color=colour, linewidth=0.6, alpha=0.45)
    n = len(group.runs)
    label = group.name if n == 1 else f"{group.name}, mean of {n} runs"
    axes.plot(found.x, found.mean, color=colour, linewidth=2.2, label=label)
    if found.low is not None and found.high is not None:
        style.band(axes, found.x, found.low, found.high, colour)


def _onsets(axes: Axes, group: RunsAtKl, colour: str) -> None:
    """A tick on the axis for every run that games; the interval of a single one."""
    known = [run.with_gold.onset for run in group.runs if run.with_gold.onset is not None]
    if len(group.runs) == 1:
        for onset in known:
            axes.axvspan(onset.low, onset.high, color=colour, alpha=0.1, linewidth=0)
    if known:
        axes.plot(
            group.onsets, [0.03] * len(known), transform=axes.get_xaxis_transform(), color=colour, linestyle="",
            marker=style.MARKERS[2], markersize=7, label=f"{group.name}, onsets",
        )  # fmt: skip


def _law(axes: Axes, group: RunsAtKl, colour: str) -> None:
    fits = [run.fit for run in group.runs if run.fit is not None]
    start, found = group.gold("start"), mean_curve(group.runs, "gold", _distance)
    if not fits or start is None or found is None:
        return
    alpha, beta = (float(np.mean([getattr(fit, name).value for fit in fits])) for name in ("alpha", "beta"))
    d = np.linspace(0, found.x[-1], 60)
    axes.plot(
        d, start.value + predicted("rl", d, alpha, beta), color=colour, linewidth=1.2, linestyle=":",
        label=f"{group.name}, law",
    )  # fmt: skip


def signals(summary: StudySummary, theme: Theme) -> Figure | None:
    """What else was measured, by step."""
    known = [n for n in SIGNALS if any(getattr(p, n) is not None for run in summary.runs for p in run.points)]
    if not known:
        return None
    figure = style.new_figure(theme, 0.5 + 1.9 * math.ceil(len(known) / 3))
    panels = figure.subplots(math.ceil(len(known) / 3), 3, squeeze=False).ravel()
    for axes, name in zip(panels, known, strict=False):
        style.styled(axes, theme, x="RL step", y="")
        style.titled(axes, theme, TITLES[name])
        for number, group in enumerate(by_kl_weight(summary.runs)):
            _runs_and_mean(axes, group, name, lambda point: float(point.step), theme.colour(number))
    for axes in panels[len(known) :]:
        axes.set_axis_off()
    style.shared_legend(figure, list(panels), theme)
    return figure


def best_of_n(summary: StudySummary, theme: Theme) -> Figure | None:
    """Proxy and gold of the best of n against √KL, with intervals over prompts."""
    pool = summary.pool
    if pool is None:
        return None
    figure = style.new_figure(theme, 2.9)
    panels = figure.subplots(1, 2)
    distance = np.sqrt(pool.kl)
    for axes, name, colour in zip(panels, ("proxy", "gold"), (theme.colour(0), theme.colour(1)), strict=True):
        found = getattr(pool, name)
        style.styled(axes, theme, x=f"√KL bound (n = 1 to {pool.ns[-1]:,})", y=f"{name}, best of n")
        axes.plot(distance, [one.value for one in found], color=colour, marker="o", markersize=4)
        style.band(axes, distance, [one.low for one in found], [one.high for one in found], colour)
    return figure


def compared(summary: StudySummary, theme: Theme) -> Figure | None:
    """Gold at the same distances from the reference policy, before and after: thin by run, thick their mean."""
    comparison = summary.comparison
    if comparison is None or not comparison.budgets:
        return None
    figure = style.new_figure(theme, 2.9)
    axes = figure.subplots()
    style.styled(axes, theme, x="nats from the reference policy", y="gold")
    axes.set_xscale("log")
    for number, (name, label) in enumerate((("before", comparison.before), ("after", comparison.after))):
        gold = np.array([getattr(pair, name).at_budget for pair in comparison.pairs], dtype=np.float64)
        for row in gold:
            axes.plot(BUDGETS, row, color=theme.colour(number), linewidth=0.6, alpha=0.4)
        known = np.isfinite(gold).any(0)
        means = np.nanmean(gold[:, known], 0)
        axes.plot(np.array(BUDGETS)[known], means, color=theme.colour(number), linewidth=2.2, marker="o", label=label)
    style.legend_beside(axes, theme)
    return figure


def _distance(point: StepMeans) -> float:
    return math.sqrt(max(point.kl or 0.0, 0.0))


FIGURES = {
    "steps": against_steps,
    "distance": against_distance,
    "signals": signals,
    "best_of_n": best_of_n,
    "compared": compared,
}
