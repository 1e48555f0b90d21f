"""The page of a study: ``overopt.html`` with its plots, from stored rows alone. ``safe_text`` sees all mined text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from markupsafe import Markup

from corpus.records import Conversation
from miner.files import replace_text
from miner.measuring.overopt.by_kl_weight import by_kl_weight
from miner.measuring.overopt.eval_prompts import read_prompts
from miner.measuring.overopt.results import StudySummary
from miner.reporting.overopt_answer import answers
from miner.reporting.overopt_facts import facts
from miner.reporting.overopt_figures import FIGURES
from miner.reporting.page import Plot, asset, content_security_policy, environment
from miner.reporting.sections import draw_plots

PAGE, PEOPLES_PAGE = "overopt.html", "overopt-people.html"
HERE = Path(__file__).parent


def write_overopt_report(summary: StudySummary, *, command: str = "") -> Path:
    """Write ``overopt.html`` beside the study's runs, with people's scores as the gold ``overopt-people.html``.

    ``command`` is shown as the one that made the page. Raises: DataError: a run's prompts cannot be read.
    """
    name = PEOPLES_PAGE if summary.people else PAGE
    asked = read_prompts(summary.folder)
    return replace_text(summary.folder / name, render(summary, draw_plots(summary, FIGURES), asked, command))


def render(
    summary: StudySummary, plots: Mapping[str, Plot], asked: Mapping[str, Conversation], command: str = ""
) -> str:
    """The whole page; ``asked`` are the prompts of its samples, as far as they are known."""
    style = asset("style.css")
    return (
        environment(HERE)
        .get_template("overopt.html.jinja")
        .render(
            policy=content_security_policy(Markup(), style),
            style=style,
            summary=summary,
            plots=plots,
            asked=asked,
            answers=answers(summary),
            groups=by_kl_weight(summary.runs),
            facts=facts(summary, command),
        )
    )
