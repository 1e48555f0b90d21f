"""Proxy and gold while policies are optimised against the RM, one column a round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from miner.measuring.overopt.results import RunSummary
from miner.reporting import plot_style as style
from miner.reporting.plot_style import Theme
from miner.reporting.studies import RoundStudy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = ((True, 0, "-", "games"), (False, 1, "--", "does not game"), (None, 6, ":", "cannot be told"))


def proxy_and_gold(studies: Sequence[RoundStudy], theme: Theme) -> Figure | None:
    """Proxy above gold by step; runs in the colour of what gold says of them, their onsets on the gold curves."""
    drawn = [study for study in studies if any(run.points for run in study.runs)]
    if not drawn:
        return None
    figure = style.new_figure(theme, 5.4)
    panels = figure.subplots(2, len(drawn), sharex="col", sharey="row", squeeze=False)
    for (above, below), study in zip(panels.T, drawn, strict=True):
        first = study is drawn[0]
        style.styled(above, theme, x="", y="proxy (clean SD)" if first else "")
        style.styled(below, theme, x="RL step", y="gold" if first else "")
        n = len(study.runs)
        style.titled(above, theme, f"{style.round_name(study.round)} ({n} {'run' if n == 1 else 'runs'})")
        for run in study.runs:
            _curve(above, run, "proxy", theme)
            _curve(below, run, "gold", theme)
            _onset(below, run, theme)
        thresholds = {run.info.bar["threshold"] for run in study.runs if "threshold" in run.info.bar}
        for threshold in sorted(thresholds)[:1]:
            above.axhline(threshold, color=theme.text, linewidth=1, linestyle="--", label="what a win has to reach")
    style.shared_legend(figure, list(panels.ravel()), theme)
    return figure


def _curve(axes: Axes, run: RunSummary, name: str, theme: Theme) -> None:
    known = [(point.step, value) for point in run.points if (value := getattr(point, name)) is not None]
    colour, line, label = next(kind[1:] for kind in KINDS if kind[0] is run.with_gold.games)
    if known:
        axes.plot(
            *zip(*known, strict=True), color=theme.colour(colour), linestyle=line, linewidth=1.2, alpha=0.8, label=label
        )


def _onset(axes: Axes, run: RunSummary, theme: Theme) -> None:
    onset = run.with_gold.onset
    known = [point for point in run.points if point.gold is not None]
    if onset is None or not known:
        return
    at = onset.bend.step
    height = np.interp(at, [point.step for point in known], [point.gold for point in known if point.gold is not None])
    bars = [[max(0.0, at - onset.low)], [max(0.0, onset.high - at)]]
    axes.errorbar(
        [at], [height], xerr=bars, fmt="o", color=theme.text, ecolor=theme.text, elinewidth=0.8, capsize=2,
        markersize=4, zorder=3, label="onset, 95 % interval",
    )  # fmt: skip
