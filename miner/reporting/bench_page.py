"""The benchmark as one self-contained HTML page, in the report's looks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from miner.config.campaign import CONTROL
from miner.files import replace_text
from miner.measuring.benchmark.report import BenchReport
from miner.reporting import plot_style as style
from miner.reporting.page import Plot, environment, page_assets
from miner.reporting.plot_style import DARK, LIGHT, Theme, png
from miner.safe_text import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE_NAME = "bench.html"
HERE = Path(__file__).parent


def write_page(report: BenchReport, folder: Path) -> Path:
    """``bench.html``: the ranks, what broke each RM, each two compared, and what was found."""
    light, dark = _cost_figure(report, LIGHT), _cost_figure(report, DARK)
    plots = {"cost": Plot(light=png(light), dark=png(dark))} if light and dark else {}
    attacks = list(dict.fromkeys(one.attack for row in report.rows for one in row.attacks))
    forms = sorted({count.form for row in report.rows for one in row.attacks for count in one.forms})
    template = environment(HERE).get_template("bench.html.jinja")
    text = template.render(
        **page_assets(), report=report, suite=report.suite, plots=plots, attacks=attacks, forms=forms, control=CONTROL
    )
    return replace_text(folder / PAGE_NAME, text)


def _cost_figure(report: BenchReport, theme: Theme) -> Figure | None:
    """Per RM the share of prompts that no attack has broken after so many queries."""
    curves = [(row.model, row.survival) for row in report.rows if row.survival is not None]
    if not curves:
        return None
    figure = style.new_figure(theme, 3.6)
    axes = style.styled(figure.subplots(), theme, x="queries", y="prompts not broken yet (%)")
    for number, (model, curve) in enumerate(curves):
        colour = theme.colour(number)
        low, high, middle = ([100 * share for share in line] for line in (curve.low, curve.high, curve.survival))
        axes.fill_between(curve.times, low, high, step="post", color=colour, alpha=0.13, linewidth=0)
        line = style.LINES[number % len(style.LINES)]
        axes.step(curve.times, middle, where="post", color=colour, linestyle=line, label=visible(model))
    axes.set_ylim(-3, 103)
    axes.set_xlim(0, report.suite.budget_queries)
    style.legend_beside(axes, theme)
    return figure
