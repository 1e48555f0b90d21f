"""The page of a study: ``overopt.html`` with its plots, from stored rows alone. ``safe_text`` sees all mined text."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from miner.overopt.figures import FIGURES
from miner.overopt.summary import StudySummary
from miner.publishing import replace_text
from miner.report.ink import DARK, LIGHT, png
from miner.report.page import Plot, asset, content_security_policy, environment

PAGE, LABELLED_PAGE = "overopt.html", "overopt-labels.html"
HERE = Path(__file__).parent


def write_overopt_report(summary: StudySummary) -> Path:
    """Write ``overopt.html`` beside the study's runs, with people's labels as the gold ``overopt-labels.html``."""
    name = LABELLED_PAGE if summary.labelled else PAGE
    return replace_text(summary.folder / name, render(summary, _plots(summary)))


def render(summary: StudySummary, plots: dict[str, Plot]) -> str:
    """The whole page."""
    style = asset("style.css")
    return (
        environment(HERE)
        .get_template("overopt.html.jinja")
        .render(policy=content_security_policy(Markup(), style), style=style, summary=summary, plots=plots)
    )


def _plots(summary: StudySummary) -> dict[str, Plot]:
    plots = {}
    for name, draw in FIGURES.items():
        light, dark = draw(summary, LIGHT), draw(summary, DARK)
        if light is not None and dark is not None:
            plots[name] = Plot(light=png(light), dark=png(dark))
    return plots
