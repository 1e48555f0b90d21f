"""Puts a report together: page and plots, each file replaced in one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus.records import Finding
from miner.files import replace_bytes, replace_text
from miner.reporting.attribution import Attribution, AttributionResults, Progress, attribute_findings
from miner.reporting.headline import FOREMOST, headline, limits
from miner.reporting.page import Plot, environment, page_assets
from miner.reporting.reading import Run, choose, read_run, striking
from miner.reporting.sections import Part, known_sections, parts_of

PAGE_NAME = "report.html"
PLOTS_FOLDER = "plots"
PAGE_ROWS = 20


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
    parts, unread = parts_of(run)
    page = run_folder / PAGE_NAME
    replace_text(page, render(run, parts, unread, shown, attributed))
    return ReportFiles(
        html=page,
        plots=_write_plots(run_folder / PLOTS_FOLDER, {name: p for part in parts for name, p in part.plots.items()}),
        notes=attributed.notes,
        left_out=[*run.measurements.left_out, *unread],
    )


def _attributions(
    run: Run, shown: Sequence[Finding], attribution: Attribution | None, progress: Progress | None
) -> AttributionResults:
    if attribution is None:
        return AttributionResults(by_finding={}, notes=["Attribution was not asked for."] if shown else [])
    return attribute_findings(run, shown, attribution, progress)


def render(
    run: Run,
    parts: Sequence[Part],
    left_out: Sequence[str],
    shown: Sequence[Finding],
    attributed: AttributionResults,
) -> str:
    """The whole page. Every string that reaches it goes through ``safe_text``."""
    return (
        environment()
        .get_template("report.html.jinja")
        .render(
            **page_assets(),
            run=run,
            summary=run.summary,
            headline=headline(run),
            striking=striking(run),
            left_out=[*left_out, *run.measurements.left_out],
            limits=limits(run),
            foremost=FOREMOST,
            parts=parts,
            findings=shown,
            attributions=attributed.by_finding,
            notes=attributed.notes,
            page_rows=PAGE_ROWS,
        )
    )


def _write_plots(folder: Path, plots: dict[str, Plot]) -> dict[str, Path]:
    """The light plots as files; one of an earlier report that this run no longer has is removed."""
    folder.mkdir(exist_ok=True)
    written = {}
    for name in (figure for section in known_sections().values() for figure in section.figures):
        path = folder / f"{name}.png"
        if name in plots:
            replace_bytes(path, plots[name].light)
            written[name] = path
        else:
            path.unlink(missing_ok=True)
    return written
