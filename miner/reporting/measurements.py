"""Pages of single measurements (`diversity`, `gap`), made of the sections that the run's report shows, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import Markup

from miner.files import replace_bytes, replace_text
from miner.reporting.page import asset, content_security_policy, environment
from miner.reporting.sections import ReportSection, draw_plots, render_section


def write_measurement(folder: Path, section: ReportSection, title: str, report: Any) -> Path:
    """``folder/<section>.html``, self-contained, and its light plots under ``folder/plots``."""
    plots = draw_plots(report, section.figures)
    for name, plot in plots.items():
        replace_bytes(folder / "plots" / f"{name}.png", plot.light)
    style = asset("style.css")
    page = (
        environment()
        .get_template("measurement.html.jinja")
        .render(
            policy=content_security_policy(Markup(), style),
            style=style,
            section=render_section(section, report, plots),
            title=title,
            report=report,
        )
    )
    return replace_text(folder / f"{section.name}.html", page)
