"""Over-optimisation studies as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from miner import safe_text
from miner.cli.output import out, plain, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from miner.overopt.changepoint import BendInterval
    from miner.overopt.fits import Estimate, Fit
    from miner.overopt.summary import RunSummary, StudySummary


def say_study(summary: StudySummary, page: Path, *, json: bool) -> None:
    """All that a study shows, and where its page is."""
    if json:
        print_json({**plain(summary), "report": str(page)})
        return
    console = out()
    if summary.labelled is not None:
        console.print(f"gold: {summary.labelled.text}", markup=False)
    console.print(runs_table(summary))
    console.print(laws_table(summary))
    for note in summary.notes:
        console.print(note, markup=False)
    console.print(f"report: {page}", markup=False)


def runs_table(summary: StudySummary) -> Table:
    """One row a run: whether and when it games."""
    table = Table(
        title="when the policy starts to game the RM", title_justify="left", box=box.SIMPLE,
        caption="onset: step [95 %]. gold, proxy: start → best → end", caption_justify="left",
    )  # fmt: skip
    for column in ("run", "ended", "games", "onset (gold)", "onset (no gold)", "alarm", "gold", "proxy", "KL"):
        table.add_column(column, no_wrap=True)
    for run in summary.runs:
        table.add_row(*map(safe_text.terminal, _cells(run)))
    return table


def laws_table(summary: StudySummary) -> Table:
    """α and β of every fitted law."""
    table = Table(title="laws: d(α − β log d) for RL, d(α − βd) for best-of-n", title_justify="left", box=box.SIMPLE)
    for column in ("run", "α [95 %]", "β [95 %]", "gold peaks at d"):
        table.add_column(column, no_wrap=True)
    rows = [(run.info.name, run.fit) for run in summary.runs]
    if summary.pool is not None:
        rows.append((f"best of n, up to {summary.pool.ns[-1]}", summary.pool.fit))
    for name, fit in rows:
        if fit is not None:
            table.add_row(safe_text.terminal(name), *_law(fit))
    return table


def _cells(run: RunSummary) -> list[str]:
    games = {True: "yes", False: "no", None: "?"}[run.with_gold.games]
    alarm = run.judged.alarm_step if run.judged else None
    return [
        run.info.name,
        run.info.status,
        games,
        _bend(run.with_gold.onset),
        _bend(run.judged.estimate if run.judged else None),
        "none" if alarm is None else f"{alarm:.0f}",
        _course(run, "gold"),
        _course(run, "proxy"),
        f"{run.points[-1].kl:.1f}" if run.points and run.points[-1].kl is not None else "",
    ]


def _course(run: RunSummary, name: str) -> str:
    values = [value for value in (getattr(point, name) for point in run.points) if value is not None]
    return f"{values[0]:.2f} → {max(values):.2f} → {values[-1]:.2f}" if values else "not known"


def _bend(found: BendInterval | None) -> str:
    return "none" if found is None else f"{found.bend.step:.0f} [{found.low:.0f}–{found.high:.0f}]"


def _law(fit: Fit) -> list[str]:
    return [_estimate(fit.alpha), _estimate(fit.beta), "none in the data" if fit.peak is None else f"{fit.peak:.2f}"]


def _estimate(one: Estimate) -> str:
    return f"{one.value:.3f} [{one.low:.3f}–{one.high:.3f}]"
