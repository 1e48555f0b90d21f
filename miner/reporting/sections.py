"""The sections of a report, one row each: what it reads, its figures, its template.

Installed packages add rows under the entry points ``rmminer.report_sections``; theirs stand behind ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from miner.errors import ConfigError, DataError
from miner.measuring.diversity.report import TITLES
from miner.measuring.triage.result import read_triage
from miner.reporting import diversity_figures, figures, gap_figures, study_figure, triage_figure
from miner.reporting.page import HERE, Plot, auroc, environment, select_metric
from miner.reporting.plot_style import DARK, LIGHT, Theme, png
from miner.reporting.reading import Run, failed, trials

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GROUP = "rmminer.report_sections"
Draw = Callable[[Any, Theme], "Figure | None"]


@dataclass(frozen=True, kw_only=True)
class ReportSection:
    """One section. ``title`` is what links to it say.

    ``read`` gives what is to be shown of a run, None where there is nothing: then the section is left out. ``figures``
    are drawn of it, in the colours given; one that is None has no plot. The template, which lies in ``folder``, writes
    ``<section id="{name}">``. It is given what was read as ``shown``, the ``run``, the section's ``plots`` by name, and
    ``names``.
    """

    name: str
    title: str
    read: Callable[[Run], Any]
    template: str
    figures: Mapping[str, Draw] = field(default_factory=dict)
    folder: Path = HERE
    names: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Part:
    """A section as it stands on the page, with its plots by name."""

    name: str
    title: str
    html: Markup
    plots: dict[str, Plot]


ATTACKS = ReportSection(
    name="attacks",
    title="Attacks",
    read=lambda run: run,
    template="attacks.html.jinja",
    figures={"margins": figures.margins, "survival": figures.survival, "success": figures.success_by_round},
    names={"trials": trials, "failed": failed},
)
ACCURACY = ReportSection(
    name="accuracy",
    title="Clean accuracy",
    read=lambda run: run,
    template="accuracy.html.jinja",
    figures={"accuracy": figures.accuracy},
)
TRANSFER = ReportSection(
    name="transfer",
    title="Older findings",
    read=lambda run: run.summary.transfer,
    template="transfer.html.jinja",
    figures={"transfer": figures.transfer},
)
CHECKS = ReportSection(
    name="checks",
    title="Checks",
    read=lambda run: run.summary.checks,
    template="checks.html.jinja",
    figures={"checks": figures.check_errors},
)
TRIAGE = ReportSection(
    name="triage",
    title="Triage",
    read=lambda run: read_triage(run.folder),
    template="triage.html.jinja",
    figures={"distances": triage_figure.distances},
    names={"auroc": auroc, "triage_rows": 30},
)
REVIEWS = ReportSection(
    name="reviews",
    title="People",
    read=lambda run: run.reviews,
    template="reviews.html.jinja",
)
TUNING = ReportSection(
    name="tuning",
    title="Tuning",
    read=lambda run: run.measurements.tuning,
    template="tuning.html.jinja",
    figures={"tuning": figures.tuning},
)
OVEROPT = ReportSection(
    name="overopt",
    title="Policies",
    read=lambda run: run.measurements.studies or None,
    template="studies.html.jinja",
    figures={"overopt": study_figure.proxy_and_gold},
    names={"sample_columns": 3},
)
DIVERSITY = ReportSection(
    name="diversity",
    title="Diversity",
    read=lambda run: run.measurements.diversity,
    template="diversity.html.jinja",
    figures={
        "diversity_statistics": diversity_figures.statistics,
        "diversity_entropy": diversity_figures.entropy_by_position,
        "diversity_map": diversity_figures.embedding_map,
        "diversity_kl": diversity_figures.against_kl,
    },
    names={"select_metric": select_metric, "statistic_titles": TITLES},
)
GAP = ReportSection(
    name="gap",
    title="Gap",
    read=lambda run: run.measurements.gap,
    template="gap.html.jinja",
    figures={
        "gap_series": gap_figures.gap_series,
        "gap_curve": gap_figures.gap_curve,
        "gap_facts": gap_figures.facts,
    },
)
BUILT_IN = (ATTACKS, ACCURACY, TRANSFER, CHECKS, REVIEWS, TRIAGE, TUNING, OVEROPT, DIVERSITY, GAP)
FRAME = ("short", "limits", "findings", "run")  # the anchors of the page around the sections


def known_sections() -> dict[str, ReportSection]:
    """The sections by name, in their order on the page; theirs replace none of ours, nor a figure of ours.

    Raises:
        ConfigError: two sections would write a figure of the same name.
    """
    ours = {section.name: section for section in BUILT_IN}
    theirs = {point.name: point.load() for point in entry_points(group=GROUP) if point.name not in (*ours, *FRAME)}
    found: dict[str, ReportSection] = {**ours, **theirs}
    owner: dict[str, str] = {}
    for name, section in found.items():
        for figure in section.figures:
            if owner.setdefault(figure, name) != name:
                raise ConfigError(f"report sections {owner[figure]!r} and {name!r} both draw {figure!r}; rename one")
    return found


def draw_plots(shown: Any, drawn: Mapping[str, Draw]) -> dict[str, Plot]:
    """The plots that ``shown`` has the numbers for, by name, each on light and on dark paper."""
    plots = {}
    for name, draw in drawn.items():
        light, dark = draw(shown, LIGHT), draw(shown, DARK)
        if light is not None and dark is not None:
            plots[name] = Plot(light=png(light), dark=png(dark))
    return plots


def render_section(section: ReportSection, shown: Any, plots: Mapping[str, Plot], **context: Any) -> Markup:
    """What the section's template makes of what was read."""
    template = environment(section.folder).get_template(section.template)
    # Markup: the environment of every template has escaped what was put into it
    return Markup(template.render(shown=shown, plots=plots, **{section.name: shown}, **section.names, **context))


def parts_of(run: Run) -> tuple[list[Part], list[str]]:
    """The sections that have something to show of ``run``, and what was left out because it cannot be read."""
    parts, left_out = [], []
    for section in known_sections().values():
        try:
            shown = section.read(run)
        except DataError as error:
            left_out.append(f"{error}. This report does without it: measure it again, or delete it")
            continue
        if shown is None:
            continue
        plots = draw_plots(shown, section.figures)
        html = render_section(section, shown, plots, run=run)
        parts.append(Part(name=section.name, title=section.title, html=html, plots=plots))
    return parts, left_out
