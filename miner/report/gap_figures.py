"""The plots of a gap report: gold of the pick against n, and how often the truth is preferred."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from miner.gap.report import GapReport
from miner.report import ink as style
from miner.report.ink import Ink

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def gap_curve(report: GapReport, ink: Ink) -> Figure | None:
    """Expected gold of the RM's pick out of n and of the best of n, beside the policy's mean."""
    found = report.selection
    if found is None:
        return None
    figure = style.new_figure(ink, 3.4)
    axes = style.styled(figure.subplots(), ink, x="samples to choose from (n)", y="gold of the pick")
    n = [point.n for point in found.curve]
    for i, (label, means) in enumerate(
        (
            ("picked by the RM", [p.picked for p in found.curve]),
            ("picked by gold itself", [p.best for p in found.curve]),
        )
    ):
        axes.fill_between(
            n, [m.low for m in means], [m.high for m in means], color=ink.colour(i), alpha=0.18, linewidth=0
        )
        axes.plot(n, [m.value for m in means], color=ink.colour(i), linestyle=style.LINES[i], label=label)
    axes.axhline(found.curve[0].picked.value, color=ink.text, linewidth=1, linestyle=":", label="the policy's mean")
    if found.turn.sure and found.turn.n is not None:
        axes.axvline(
            found.turn.n, color=ink.accent, linewidth=1.2, linestyle="--", label=f"turns at n = {found.turn.n}"
        )
    axes.set_xscale("log", base=2)
    ticks = [2**k for k in range(int(np.log2(found.pool)) + 1)]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    style.legend_beside(axes, ink)
    return figure


def facts(report: GapReport, ink: Ink) -> Figure | None:
    """By kind of fact, the share of swaps in which the RM prefers the truth, with 95 % intervals."""
    if not report.facts:
        return None
    figure = style.new_figure(ink, 1.1 + 0.38 * len(report.facts))
    axes = style.styled(figure.subplots(), ink, x="prefers the true statement (%)", y="", grid="x")
    rates = [one.prefers_true for one in report.facts]
    bars = 100 * np.array([[r.value - r.low for r in rates], [r.high - r.value for r in rates]]).clip(0)
    at = range(len(rates))
    axes.errorbar([100 * r.value for r in rates], at, xerr=bars, fmt="o", color=ink.colour(1), capsize=3, markersize=6)
    axes.axvline(50, color=ink.text, linewidth=1, linestyle=":", label="a coin")
    axes.set_yticks(at, [f"{one.kind} (n = {one.prefers_true.n})" for one in report.facts])
    axes.set_ylim(len(rates) - 0.5, -0.5)
    axes.set_xlim(-2, 102)
    style.legend_beside(axes, ink)
    return figure


FIGURES = {"gap_curve": gap_curve, "gap_facts": facts}
