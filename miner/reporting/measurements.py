"""Pages of single measurements (`diversity`, `gap`), made of the sections that the run's report shows, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from miner.files import replace_bytes, replace_text
from miner.reporting.page import Plot, asset, content_security_policy, environment
from miner.reporting.plot_style import DARK, LIGHT, Ink, png

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_plots(report: Any, figures: Mapping[str, Callable[[Any, Ink], Figure | None]]) -> dict[str, Plot]:
    """The plots that this report has the numbers for, by name, each on light and on dark paper."""
    plots = {}
    for name, draw in figures.items():
        light, dark = draw(report, LIGHT), draw(report, DARK)
        if light is not None and dark is not None:
            plots[name] = Plot(light=png(light), dark=png(dark))
    return plots


def write_measurement(folder: Path, name: str, title: str, report: Any, plots: Mapping[str, Plot]) -> Path:
    """``folder/<name>.html``, self-contained, and the light plots under ``folder/plots``."""
    for plot_name, plot in plots.items():
        replace_bytes(folder / "plots" / f"{plot_name}.png", plot.light)
    style = asset("style.css")
    page = (
        environment()
        .get_template("measurement.html.jinja")
        .render(
            policy=content_security_policy(Markup(), style),
            style=style,
            section=f"{name}.html.jinja",
            title=title,
            report=report,
            plots=plots,
            **{name: report},
        )
    )
    return replace_text(folder / f"{name}.html", page)
