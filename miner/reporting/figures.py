"""The plots of a report: each takes what its section read and a theme; None where no such thing was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from miner.campaigns.results import CheckErrors, TransferCell
from miner.campaigns.tuning import TuningReport
from miner.reporting import plot_style as style
from miner.reporting.plot_style import Theme
from miner.reporting.reading import Run, Trial, success, trials
from miner.safe_text import visible
from miner.statistics import Rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

COLUMNS = 3
LABEL_CHARACTERS = 24


def margins(run: Run, theme: Theme) -> Figure | None:
    """Per round: margins of the findings beside those of the references that they beat."""
    findings = [finding for finding in run.findings if math.isfinite(finding.margin)]
    rounds = [one for one in run.rounds if one.clean_std > 0 and any(f.round == one.round for f in findings)]
    if not rounds:
        return None
    figure = style.new_figure(theme, 0.7 + 1.7 * len(rounds))
    panels = figure.subplots(len(rounds), 1, sharex=True, squeeze=False)[:, 0]
    for axes, one in zip(panels, rounds, strict=True):
        mine = [finding for finding in findings if finding.round == one.round]
        found = [finding.margin for finding in mine]
        beaten = [(f.reference_reward - one.clean_mean) / one.clean_std for f in mine if f.reference_reward is not None]
        threshold = (one.threshold - one.clean_mean) / one.clean_std
        last = one is rounds[-1]
        style.styled(
            axes, theme, x="margin (standard deviations above this RM's clean references)" if last else "", y="texts"
        )
        style.titled(axes, theme, style.round_name(one.round))
        values = [*found, *beaten, threshold, -1.0, 1.0]
        bins = np.linspace(math.floor(min(values) * 2) / 2, math.ceil(max(values) * 2) / 2, 33).tolist()
        axes.axvspan(-1, 1, color=theme.grid, alpha=0.35, linewidth=0, label="clean references, mean ± 1 SD")
        if beaten:
            axes.hist(
                beaten, bins, color=theme.colour(1), alpha=0.75, label=f"good answers they beat (n = {len(beaten)})"
            )
        axes.hist(
            found,
            bins,
            color=theme.colour(0),
            alpha=0.75,
            hatch="///",
            edgecolor=theme.background,
            label=f"findings (n = {len(found)})",
        )
        axes.axvline(
            threshold, color=theme.text, linewidth=1.4, linestyle="--", label=f"threshold ({threshold:.2f} SD)"
        )
        axes.yaxis.get_major_locator().set_params(integer=True)
        style.legend_beside(axes, theme)
    return figure


def survival(run: Run, theme: Theme) -> Figure | None:
    """Per attack: the share of attempts that found nothing after so many queries, one curve a round."""
    tried = trials(run)
    if not tried:
        return None
    rows = math.ceil(len(tried) / COLUMNS)
    figure = style.new_figure(theme, 0.5 + 2.6 * rows)
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes, trial in zip(panels, tried, strict=False):
        style.styled(axes, theme, x="queries", y=f"share not broken ({_sizes(trial)})")
        style.titled(axes, theme, _trial_name(trial))
        for number, result in sorted(trial.results.items()):
            curve, colour = result.survival, theme.colour(number)
            line = style.LINES[number % len(style.LINES)]
            axes.fill_between(curve.times, curve.low, curve.high, step="post", color=colour, alpha=0.18, linewidth=0)
            axes.step(
                curve.times,
                curve.survival,
                where="post",
                color=colour,
                linestyle=line,
                label=style.round_name(number),
            )
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlim(0, trial.budget)
    for axes in panels[len(tried) :]:
        axes.set_axis_off()
    style.shared_legend(figure, list(panels[: len(tried)]), theme)
    return figure


def accuracy(run: Run, theme: Theme) -> Figure | None:
    """Clean preference accuracy of every round's RM, with its interval."""
    measured = [(one.round, one.clean_accuracy) for one in run.rounds if one.clean_accuracy is not None]
    if not measured:
        return None
    figure = style.new_figure(theme, 2.7)
    axes = style.styled(figure.subplots(), theme, x="RM", y="clean pairs ranked right (%)")
    numbers, rates = [number for number, _ in measured], [rate for _, rate in measured]
    sizes = sorted({rate.n for rate in rates})
    label = "clean accuracy,\n95 % interval (n = " + (
        f"{sizes[0]})" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]})"
    )
    _with_intervals(axes, numbers, rates, colour=theme.colour(1), marker="o", label=label)
    for number, rate in measured:
        axes.annotate(
            f"{rate.value:.1%}",
            (number, 100 * rate.value),
            (9, 4),
            textcoords="offset points",
            color=theme.text,
            fontsize=8.5,
        )
    style.whole_rounds(axes, numbers)
    style.legend_beside(axes, theme)
    return figure


def success_by_round(run: Run, theme: Theme) -> Figure | None:
    """Success rate of every attack against every round's RM, with its interval."""
    tried = trials(run)
    if not tried:
        return None
    figure = style.new_figure(theme, 3.2)
    axes = style.styled(figure.subplots(), theme, x="RM", y="attempts with a finding (%)")
    for index, trial in enumerate(tried):
        shift = 0.5 * ((index + 0.5) / len(tried) - 0.5)
        numbers = [number + shift for number in trial.rounds_tried]
        rates = [success(trial.results[number]) for number in trial.rounds_tried]
        marker = style.MARKERS[index % len(style.MARKERS)]
        label = f"{_trial_name(trial)} (n = {trial.last.n})"
        _with_intervals(axes, numbers, rates, colour=theme.colour(index), marker=marker, label=label)
    axes.set_ylim(-3, 103)
    style.whole_rounds(axes, [one.round for one in run.rounds])
    style.legend_beside(axes, theme)
    return figure


def transfer(cells: Sequence[TransferCell], theme: Theme) -> Figure | None:
    """Of each round's findings, the share that still wins against each round's RM, one matrix a split."""
    if not cells:
        return None
    splits = sorted({cell.split for cell in cells}, key=lambda split: split != "held_out")
    rows, columns = sorted({cell.finding_round for cell in cells}), sorted({cell.rm_round for cell in cells})
    figure = style.new_figure(theme, 1.3 + 0.75 * len(rows))
    panels = figure.subplots(1, len(splits), squeeze=False)[0]
    for axes, split in zip(panels, splits, strict=True):
        first = split == splits[0]
        style.styled(axes, theme, x="scored by the RM", y="found against the RM" if first else "", grid="none")
        style.titled(axes, theme, f"findings on {split.replace('_', '-')} prompts")
        mine = [cell for cell in cells if cell.split == split]
        image = _matrix(axes, mine, rows, columns, small=len(splits) * len(columns) > 5)
        axes.set_xticks(range(len(columns)), [style.round_tick(column) for column in columns])
        axes.set_yticks(range(len(rows)), [style.round_tick(row) if first else "" for row in rows])
    bar = figure.colorbar(image, ax=panels, fraction=0.04, aspect=25)
    bar.set_label("share still winning", color=theme.text, fontsize=9)
    bar.ax.tick_params(colors=theme.text, labelsize=8)
    return figure


def _matrix(axes: Axes, cells: list[TransferCell], rows: list[int], columns: list[int], *, small: bool) -> AxesImage:
    values = np.full((len(rows), len(columns)), math.nan)
    for cell in cells:
        row, column, rate = rows.index(cell.finding_round), columns.index(cell.rm_round), cell.still_winning
        values[row, column] = rate.value
        text = f"{rate.value:.0%}\n[{100 * rate.low:.0f}, {100 * rate.high:.0f}]\nn = {rate.n}"
        colour = "#ffffff" if rate.value < 0.55 else "#101418"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=7.5 if small else 8.5)
    return axes.imshow(np.ma.masked_invalid(values), cmap="cividis", vmin=0, vmax=1, aspect="auto")


def check_errors(checks: Mapping[str, CheckErrors], theme: Theme) -> Figure | None:
    """How often each check convicts clean text, and planted nonsense of each kind."""
    rows: list[tuple[str, Rate, bool]] = []
    for name, errors in checks.items():
        rows.append((f"{_literal(name)}: clean text", errors.false_alarm, True))
        rows.extend((f"{_literal(name)}: {_literal(kind)}", rate, False) for kind, rate in errors.hit_rate.items())
    if not rows:
        return None
    figure = style.new_figure(theme, 1.2 + 0.27 * len(rows))
    axes = style.styled(figure.subplots(), theme, x="texts convicted as nonsense (%)", y="", grid="x")
    for alarm, marker, colour, label in (
        (True, "s", 0, "false alarms on clean text"),
        (False, "o", 1, "hits on planted nonsense"),
    ):
        at = [i for i, row in enumerate(rows) if row[2] is alarm]
        rates = [rows[i][1] for i in at]
        bars = 100 * style.bars(rates)
        shares = [100 * rate.value for rate in rates]
        axes.errorbar(
            shares, at, xerr=bars, fmt=marker, color=theme.colour(colour), capsize=3, markersize=5, label=label
        )
    axes.set_yticks(range(len(rows)), [f"{name} (n = {rate.n})" for name, rate, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(-3, 103)
    figure.legend(
        loc="outside upper right",
        ncols=2,
        fontsize=8,
        labelcolor=theme.text,
        facecolor=theme.background,
        edgecolor=theme.grid,
    )
    return figure


def tuning(found: TuningReport, theme: Theme) -> Figure:
    """Break cost by trial with the best so far, and each hyper-parameter's importance by PED-ANOVA."""
    figure = style.new_figure(theme, 3.0)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    style.styled(left, theme, x="trial", y="queries to a find, mean")
    complete = [(trial.number, trial.cost) for trial in found.trials if trial.complete]
    given_up = [(trial.number, trial.cost) for trial in found.trials if not trial.complete]
    left.scatter(
        *zip(*complete, strict=True), color=theme.colour(0), s=26, label=f"trials (n = {found.train_prompts} prompts)"
    )
    if given_up:
        left.scatter(
            *zip(*given_up, strict=True), facecolors="none", edgecolors=theme.colour(2), s=26, label="given up"
        )
    best = np.minimum.accumulate([cost for _, cost in complete])
    left.step([n for n, _ in complete], best, where="post", color=theme.colour(1), label="best so far")
    left.xaxis.get_major_locator().set_params(integer=True)
    style.legend(left, theme)
    style.styled(right, theme, x="how far the best trials stand out in it (%)", y="", grid="x")
    weights = sorted(found.importances.items(), key=lambda item: item[1])
    right.barh(
        [_literal(name) for name, _ in weights], [100 * w for _, w in weights], color=theme.colour(0), height=0.6
    )
    right.set_xlim(0, 100)
    return figure


def _with_intervals(
    axes: Axes, x: list[int] | list[float], rates: list[Rate], *, colour: str, marker: str, label: str
) -> None:
    values = [100 * rate.value for rate in rates]
    ends = 100 * style.bars(rates)
    axes.errorbar(
        x, values, yerr=ends, color=colour, marker=marker, markersize=6, linewidth=1.4, capsize=3, label=label
    )


def _sizes(trial: Trial) -> str:
    sizes = sorted({result.n for result in trial.results.values()})
    return f"n = {sizes[0]}" if len(sizes) == 1 else f"n = {sizes[0]} to {sizes[-1]}"


def _trial_name(trial: Trial) -> str:
    return f"{_literal(trial.attack)}, {trial.split.replace('_', '-')}, {trial.budget:,} queries"


def _literal(text: str) -> str:
    """A name from the summary: ASCII that every font has, no longer than a label, and no formula to matplotlib."""
    shown = visible(text).encode("ascii", "backslashreplace").decode()
    return (shown if len(shown) <= LABEL_CHARACTERS else f"{shown[: LABEL_CHARACTERS - 3]}...").replace("$", r"\$")
