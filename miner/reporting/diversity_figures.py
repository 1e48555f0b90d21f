"""The plots of a diversity report: entropy by position, the embedding map, diversity and gold against √KL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from miner.measuring.diversity.report import VARIED_WHEN_LOW, DiversityReport, MeasuredPolicy
from miner.measuring.diversity.response_sets import Scope
from miner.reporting import plot_style as style
from miner.reporting.plot_style import Theme
from miner.statistics import Difference, Mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABEL_CHARACTERS = 32
SHOWN_METRICS = ("distinct_1", "distinct_2", "self_bleu", "cosine", "modes", "top_mode")
AXIS_TITLES = {
    "distinct_1": "distinct words",
    "distinct_2": "distinct word pairs",
    "self_bleu": "self-BLEU",
    "cosine": "mean pairwise cosine",
    "modes": "modes in a set",
    "top_mode": "share of the top mode",
}
CURVES: tuple[tuple[str, Scope, str], ...] = (
    ("entropy", "within", "next-token entropy"),
    ("distinct_2", "within", "distinct word pairs, one prompt"),
    ("distance", "within", "1 − mean cosine, one prompt"),
    ("distance", "across", "1 − mean cosine, across prompts"),
    ("gold", "within", "gold"),
)


def entropy_by_position(report: DiversityReport, theme: Theme) -> Figure | None:
    """Mean next-token entropy of each policy at each position of its own samples, with 95 % bands."""
    sides = [(i, side) for i, side in enumerate(report.sides) if side.entropy_by_position]
    if not sides:
        return None
    figure = style.new_figure(theme, 3.0)
    axes = style.styled(figure.subplots(), theme, x="position in the response (tokens)", y="next-token entropy (nats)")
    for i, side in sides:
        x = range(1, len(side.entropy_by_position) + 1)
        low, high = ([getattr(m, end) for m in side.entropy_by_position] for end in ("low", "high"))
        style.band(axes, x, low, high, theme.colour(i))
        line = style.LINES[i % len(style.LINES)]
        values = [m.value for m in side.entropy_by_position]
        axes.plot(x, values, color=theme.colour(i), linestyle=line, label=style.literal(side.label, LABEL_CHARACTERS))
    axes.set_ylim(bottom=0)
    style.legend_beside(axes, theme)
    return figure


def embedding_map(report: DiversityReport, theme: Theme) -> Figure | None:
    """Texts of the first and the last side on the two main axes of the embedding, the other side's behind in grey."""
    chosen = [report.sides[0], report.sides[-1]] if len(report.sides) > 1 else report.sides[:1]
    if not all(len(side.points) > 1 for side in chosen):
        return None
    figure = style.new_figure(theme, 4.4)
    panels = figure.subplots(1, len(chosen), squeeze=False, sharex=True, sharey=True)[0]
    for axes, side in zip(panels, chosen, strict=True):
        style.styled(axes, theme, x="first main axis", y="second main axis" if axes is panels[0] else "", grid="none")
        for other in chosen:
            if other is not side:
                axes.scatter(*_columns(other), s=9, color=theme.grid, linewidths=0, label="the other side")
        colour = theme.colour(report.sides.index(side))
        axes.scatter(*_columns(side), s=11, color=colour, alpha=0.75, linewidths=0)
        style.titled(axes, theme, f"{style.literal(side.label, LABEL_CHARACTERS)} (n = {len(side.points)} texts)")
        axes.set_aspect("equal", adjustable="box")
    return figure


def statistics(report: DiversityReport, theme: Theme) -> Figure | None:
    """Every side's value of the main statistics with 95 % intervals, within a prompt and across prompts."""
    if not report.sides or not report.sides[0].metrics:
        return None
    figure = style.new_figure(theme, 2.6 + 0.5 * len(report.sides))
    panels = figure.subplots(2, 3).ravel()
    for axes, name in zip(panels, SHOWN_METRICS, strict=True):
        better = "low is varied" if name in VARIED_WHEN_LOW else "high is varied"
        style.styled(axes, theme, x=f"{AXIS_TITLES[name]}\n({better})", y="", grid="x")
        _rows(axes, report, name, theme)
    style.shared_legend(figure, list(panels), theme)
    return figure


def against_kl(report: DiversityReport, theme: Theme) -> Figure | None:
    """Gold and diversity on one axis, each relative to the first policy, against √KL from it, in the order given."""
    sides = [side for side in report.sides if side.sqrt_kl is not None]
    if len(sides) < 2:
        return None
    figure = style.new_figure(theme, 3.6)
    axes = style.styled(figure.subplots(), theme, x="√KL from the first policy (√nats)", y="relative to the first (%)")
    axes.axhline(100, color=theme.grid, linewidth=1)
    for i, (name, scope, label) in enumerate(CURVES):
        points = [(side.sqrt_kl, *r) for side in sides if (r := _relative(name, scope, side, report.sides[0]))]
        if len(points) < 2:
            continue
        x, y, low, high = (np.array(column, dtype=np.float64) for column in zip(*points, strict=True))
        bars = np.stack([(y - low).clip(0), (high - y).clip(0)])
        axes.errorbar(
            x, y, yerr=bars, color=theme.colour(i), marker=style.MARKERS[i],
            linestyle=style.LINES[i % len(style.LINES)], linewidth=2.2 if name == "gold" else 1.3,
            capsize=2.5, markersize=5.5, label=label,
        )  # fmt: skip
    axes.set_ylim(bottom=0)
    style.legend_beside(axes, theme)
    return figure


def _relative(
    name: str, scope: Scope, side: MeasuredPolicy, first: MeasuredPolicy
) -> tuple[float, float, float] | None:
    """A quantity in per cent of the first side's, with the interval of the paired change, or of its own mean; NaN ends
    where nobody knows one."""
    if name == "gold":
        base, own, change = _gold(first), _gold(side), side.gold_change
    elif name == "distance":
        base, own = _distance(first.metric("cosine", scope)), _distance(side.metric("cosine", scope))
        change = _negative(side.change("cosine", scope))
    else:
        base, own, change = first.metric(name, scope), side.metric(name, scope), side.change(name, scope)
    if base is None or own is None or base.value <= 0:
        return None
    scale = 100 / base.value
    if side is first:
        return 100.0, 100.0, 100.0
    if change is not None:
        return tuple(100 + scale * end for end in (change.value, change.low, change.high))  # type: ignore[return-value]
    return scale * own.value, scale * own.low, scale * own.high


def _gold(side: MeasuredPolicy) -> Mean | None:
    if side.gold is not None or side.gold_given is None:
        return side.gold
    return Mean(side.gold_given, 1, np.nan, np.nan)


def _distance(cosine: Mean | None) -> Mean | None:
    return cosine and Mean(1 - cosine.value, cosine.n, 1 - cosine.high, 1 - cosine.low)


def _negative(change: Difference | None) -> Difference | None:
    return change and Difference(-change.value, change.n, -change.high, -change.low)


def _rows(axes: Axes, report: DiversityReport, name: str, theme: Theme) -> None:
    scopes: tuple[tuple[Scope, str, str], ...] = (("within", "o", "one prompt"), ("across", "s", "across prompts"))
    for at, side in enumerate(report.sides):
        for shift, (scope, marker, label) in zip((-0.13, 0.13), scopes, strict=True):
            found = side.metric(name, scope)
            if found is None:
                continue
            axes.errorbar(
                [found.value], [at + shift], xerr=style.bars([found]), fmt=marker, label=label,
                color=theme.colour(0 if scope == "within" else 1), capsize=2.5, markersize=5,
            )  # fmt: skip
    axes.locator_params(axis="x", nbins=4)
    axes.set_yticks(range(len(report.sides)), [style.literal(side.label, 16) for side in report.sides])
    axes.set_ylim(len(report.sides) - 0.5, -0.5)


def _columns(side: MeasuredPolicy) -> tuple[list[float], list[float]]:
    return [x for x, _ in side.points], [y for _, y in side.points]
