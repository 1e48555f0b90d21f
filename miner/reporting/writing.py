"""Puts a report together: page and plots, each file replaced in one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus.records import Finding
from miner.files import replace_bytes, replace_text
from miner.reporting.attribution import Attribution, AttributionResults, Progress, attribute_findings
from miner.reporting.diversity_figures import FIGURES as DIVERSITY_FIGURES
from miner.reporting.figures import FIGURES
from miner.reporting.gap_figures import FIGURES as GAP_FIGURES
from miner.reporting.measurements import draw_plots
from miner.reporting.page import Plot, render
from miner.reporting.plot_style import DARK, LIGHT, png
from miner.reporting.reading import Run, choose, read_run
from miner.reporting.study_figure import FIGURES as STUDY_FIGURES

PAGE_NAME = "report.html"
PLOTS_FOLDER = "plots"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFiles:
    """What was written: the page and the plots by name.

    ``notes`` say what attribution could not do, ``left_out`` which measurements in the folder the page does without.
    """

    html: Path
    plots: dict[str, Path]
    notes: list[str]
    left_out: list[str]


def write_report(
    run_folder: Path,
    *,
    max_findings: int = 200,
    attribution: Attribution | None,
    progress: Progress | None = None,
) -> ReportFiles:
    """Writes ``report.html`` and ``plots/*.png`` into the run's folder, over what an earlier report left there.

    ``progress`` is told (done, of) while findings are attributed, which is what takes time.

    Raises:
        DataError: the folder has no readable summary.
        CorpusError: its corpus cannot be read.
    """
    run = read_run(run_folder)
    shown = choose(run.findings, max_findings)
    attributed = _attributions(run, shown, attribution, progress)
    plots = _plots(run)
    page = run_folder / PAGE_NAME
    replace_text(page, render(run, plots, shown, attributed))
    return ReportFiles(
        html=page,
        plots=_write_plots(run_folder / PLOTS_FOLDER, plots),
        notes=attributed.notes,
        left_out=list(run.beside.left_out),
    )


def _attributions(
    run: Run, shown: Sequence[Finding], attribution: Attribution | None, progress: Progress | None
) -> AttributionResults:
    if attribution is None:
        return AttributionResults(by_finding={}, notes=["Attribution was not asked for."] if shown else [])
    return attribute_findings(run, shown, attribution, progress)


def _plots(run: Run) -> dict[str, Plot]:
    plots = {}
    for name, draw in FIGURES.items():
        light, dark = draw(run, LIGHT), draw(run, DARK)
        if light is not None and dark is not None:
            plots[name] = Plot(light=png(light), dark=png(dark))
    plots |= draw_plots(run.beside.studies, STUDY_FIGURES)
    if run.beside.diversity is not None:
        plots |= draw_plots(run.beside.diversity, DIVERSITY_FIGURES)
    if run.beside.gap is not None:
        plots |= draw_plots(run.beside.gap, GAP_FIGURES)
    return plots


def _write_plots(folder: Path, plots: dict[str, Plot]) -> dict[str, Path]:
    """The light plots as files; one of an earlier report that this run no longer has is removed."""
    folder.mkdir(exist_ok=True)
    written = {}
    for name in (*FIGURES, *STUDY_FIGURES, *DIVERSITY_FIGURES, *GAP_FIGURES):
        path = folder / f"{name}.png"
        if name in plots:
            replace_bytes(path, plots[name].light)
            written[name] = path
        else:
            path.unlink(missing_ok=True)
    return written
