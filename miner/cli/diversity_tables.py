"""Tables of what `diversity` measured, and how measured values are written in the terminal."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, TypeVar

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from miner import safe_text
from miner.cli.output import out, print_json
from miner.cli.watcher import running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from miner.measuring.diversity import DiversityReport, MeasuredPolicy
    from miner.reporting.sections import ReportSection
    from miner.statistics import Difference, Mean, Rate

Report = TypeVar("Report")
SCOPES = (("within", "one prompt"), ("across", "across prompts"))


def show_report(
    report: Report,
    section: ReportSection,
    title: str,
    folder: Path,
    *,
    table: Callable[[Report], RenderableType],
    json: bool,
) -> None:
    """Writes the page of a measurement, as the report's ``section`` shows it, and prints its numbers."""
    from miner.reporting.measurements import write_measurement

    with running().stage("writing the report"):
        page = write_measurement(folder, section, title, report)
    if json:
        print_json(report)
        return
    out().print(table(report))
    out().print(f"report: {page}", markup=False)
    say_where_shown(page)


def say_where_shown(page: Path) -> None:
    """One line more where a campaign's report shows what this page does."""
    from miner.reporting.measured import shown_by

    campaign = shown_by(page)
    if campaign is not None:
        out().print(f"in the campaign's report, too: rmminer report {shlex.quote(str(campaign))}", markup=False)


def diversity_table(report: DiversityReport) -> Group:
    """Every statistic of every side, with the paired change since the first."""
    from miner.measuring.diversity.report import TITLES

    settings = report.settings
    table = Table(
        title="diversity, with 95 % intervals",
        caption=f"one prompt: {settings['set_within']} texts a set; across prompts: {settings['set_across']}",
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE,
    )
    table.add_column("statistic", no_wrap=True)
    table.add_column("sets", no_wrap=True)
    for side in report.sides:
        table.add_column(safe_text.terminal(side.label))
    for name, title in TITLES.items():
        for scope, sets in SCOPES:
            if any(side.metric(name, scope) for side in report.sides):  # type: ignore[arg-type]
                table.add_row(title, sets, *(_cell(side, name, scope) for side in report.sides))
    for title, cells in _others(report).items():
        if any(cells):
            table.add_row(title, "each prompt", *cells)
    return Group(table, *_details(report), *(safe_text.terminal(f"note: {note}") for note in report.notes))


def _cell(side: MeasuredPolicy, name: str, scope: str) -> str:
    found, change = side.metric(name, scope), side.change(name, scope)  # type: ignore[arg-type]
    return "" if found is None else average(found) + (f"\n{signed(change)}" if change else "")


def _others(report: DiversityReport) -> dict[str, list[str]]:
    return {
        "√KL from the first": [f"{side.sqrt_kl:.2f}" if side.sqrt_kl is not None else "" for side in report.sides],
        "gold": [_gold(side) for side in report.sides],
    }


def _gold(side: MeasuredPolicy) -> str:
    if side.gold is None:
        return "" if side.gold_given is None else _short(side.gold_given)
    return average(side.gold)


def _details(report: DiversityReport) -> list[Text]:
    lines = []
    for side in report.sides:
        if side.attractor:
            one = side.attractor
            lines.append(
                f"{side.label}: returns to its mode after {one.off_mode_tokens} forced words {share(one.forced)}, "
                f"without {share(one.free)}, another prompt's ends {share(one.stranger)}; {one.prompts} prompts"
            )
    return [safe_text.terminal(line) for line in lines]


def average(found: Mean) -> str:
    return f"{_short(found.value)} [{_short(found.low)}–{_short(found.high)}]"


def signed(change: Difference) -> str:
    value, low, high = (
        f"{end:+.3f}" if abs(end) < 10 else f"{end:+.1f}" for end in (change.value, change.low, change.high)
    )
    return f"{value} [{low} to {high}]"


def share(found: Rate) -> str:
    return f"{found.value:.0%} [{100 * found.low:.0f}–{100 * found.high:.0f}]"


def _short(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 2 else f"{value:.2f}"
