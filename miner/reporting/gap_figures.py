"""The plots of a gap report: gold of the pick against n and along policies, and how often the truth is preferred."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from miner.measuring.gap.report import COIN, GapReport, Selection
from miner.reporting import plot_style as style
from miner.reporting.plot_style import Theme
from miner.statistics import Difference, Mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN_CURVES = 5
SHOWN_NAMES = 9
LABEL_CHARACTERS = 16


def gap_curve(report: GapReport, theme: Theme) -> Figure | None:
    """Expected gold of the RM's pick out of n: of one policy beside the best of n, else of several policies."""
    if not report.selections:
        return None
    figure = style.new_figure(theme, 3.4)
    axes = style.styled(figure.subplots(), theme, x="samples to choose from (n)", y="gold of the pick")
    if len(report.selections) == 1:
        _one_curve(axes, report.selections[0], theme)
    else:
        spread = np.linspace(0, len(report.selections) - 1, min(SHOWN_CURVES, len(report.selections)))
        for i, at in enumerate(spread.round().astype(int)):
            one = report.selections[at]
            _band(
                axes, one, [point.picked for point in one.curve], i, style.literal(one.label, LABEL_CHARACTERS), theme
            )
    pool = report.selections[0].pool
    axes.set_xscale("log", base=2)
    ticks = [2**k for k in range(int(np.log2(pool)) + 1)]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    style.legend_beside(axes, theme)
    return figure


def _one_curve(axes: Axes, found: Selection, theme: Theme) -> None:
    _band(axes, found, [point.picked for point in found.curve], 0, "picked by the RM", theme)
    _band(axes, found, [point.best for point in found.curve], 1, "picked by gold itself", theme)
    axes.axhline(found.sample.value, color=theme.text, linewidth=1, linestyle=":", label="the policy's mean")
    turn = found.choice.turn if found.choice else None
    if turn is not None and turn.sure and turn.n is not None:
        axes.axvline(turn.n, color=theme.accent, linewidth=1.2, linestyle="--", label=f"turns at n = {turn.n}")


def _band(axes: Axes, found: Selection, means: Sequence[Mean], i: int, label: str, theme: Theme) -> None:
    n = [point.n for point in found.curve]
    style.band(axes, n, [m.low for m in means], [m.high for m in means], theme.colour(i))
    axes.plot(n, [m.value for m in means], color=theme.colour(i), linestyle=style.LINES[i], label=label)


def gap_series(report: GapReport, theme: Theme) -> Figure | None:
    """Along the policies: gold of a sample and of the pick, their difference, and the pairs ranked right."""
    found = report.selections
    if len(found) < 2:
        return None
    figure = style.new_figure(theme, 6.6)
    above, middle, below = panels = figure.subplots(3, 1, sharex=True)
    for axes, title in zip(panels, ("gold", "pick − sample", "pairs ranked right (%)"), strict=True):
        style.styled(axes, theme, x="", y=title)
    at = range(len(found))
    for i, (label, means) in enumerate(
        (
            ("a sample", [one.sample for one in found]),
            (f"the RM's pick out of {found[0].pool}", [one.pick for one in found]),
            (f"the best of {found[0].pool}", [one.curve[-1].best for one in found]),
        )
    ):
        _points(above, at, means, i, label, theme)
    chosen = [(x, one.choice) for x, one in zip(at, found, strict=True) if one.choice is not None]
    _points(middle, [x for x, _ in chosen], [choice.gain for _, choice in chosen], 3, "the gap", theme)
    middle.axhline(0, color=theme.text, linewidth=1, linestyle=":", label="a sample is as good")
    ranked = [(x, _percent(choice.concordance)) for x, choice in chosen if choice.concordance]
    _points(below, [x for x, _ in ranked], [mean for _, mean in ranked], 4, "two samples, as gold does", theme)
    below.axhline(100 * COIN, color=theme.text, linewidth=1, linestyle=":", label="a coin")
    every = -(-len(found) // SHOWN_NAMES)
    below.set_xticks(at[::every], [_name(one) for one in found[::every]])
    for axes in panels:
        style.legend_beside(axes, theme)
    return figure


def _points(
    axes: Axes, at: Sequence[int], found: Sequence[Mean] | Sequence[Difference], i: int, label: str, theme: Theme
) -> None:
    axes.errorbar(
        at, [one.value for one in found], yerr=style.bars(found), color=theme.colour(i), marker=style.MARKERS[i],
        linestyle=style.LINES[i], linewidth=1.3, capsize=2.5, markersize=5, label=label,
    )  # fmt: skip


def _percent(found: Mean) -> Mean:
    return Mean(100 * found.value, found.n, 100 * found.low, 100 * found.high)


def _name(one: Selection) -> str:
    return style.literal(one.label, LABEL_CHARACTERS) + ("" if one.sqrt_kl is None else f"\n√KL {one.sqrt_kl:.1f}")


def facts(report: GapReport, theme: Theme) -> Figure | None:
    """By kind of fact, the share of swaps in which the RM prefers the truth, with 95 % intervals."""
    if not report.facts:
        return None
    figure = style.new_figure(theme, 1.1 + 0.38 * len(report.facts))
    axes = style.styled(figure.subplots(), theme, x="prefers the true statement (%)", y="", grid="x")
    rates = [one.prefers_true for one in report.facts]
    at = range(len(rates))
    axes.errorbar(
        [100 * r.value for r in rates],
        at,
        xerr=100 * style.bars(rates),
        fmt="o",
        color=theme.colour(1),
        capsize=3,
        markersize=6,
    )
    axes.axvline(100 * COIN, color=theme.text, linewidth=1, linestyle=":", label="a coin")
    axes.set_yticks(at, [f"{one.kind} (n = {one.prefers_true.n})" for one in report.facts])
    axes.set_ylim(len(rates) - 0.5, -0.5)
    axes.set_xlim(-2, 102)
    style.legend_beside(axes, theme)
    return figure
