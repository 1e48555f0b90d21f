"""Over-optimisation studies as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from miner import safe_text
from miner.cli.output import out, plain, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from miner.measuring.overopt.results import (
        BendInterval,
        Fit,
        RunSummary,
        StudyComparison,
        StudySummary,
        ValueWithInterval,
    )
    from miner.statistics import Difference, Rate

YES = {True: "yes", False: "no", None: "?"}


def print_study(summary: StudySummary, page: Path, *, json: bool) -> None:
    """All that a study shows, and where its page is."""
    from miner.reporting.overopt_answer import answers

    if json:
        print_json({**plain(summary), "report": str(page)})
        return
    console = out()
    if summary.people is not None:
        console.print(f"gold: {summary.people.text}", markup=False)
    if summary.runs:
        console.print(runs_table(summary))
    if summary.pool is not None or any(run.fit for run in summary.runs):
        console.print(laws_table(summary))
    if summary.comparison is not None:
        console.print(comparison_table(summary.comparison))
    for line in (*(f"{one.about}: {one.text}" for one in answers(summary)), *summary.notes):
        console.print(safe_text.terminal(line))
    console.print(f"report: {page}", markup=False)


def runs_table(summary: StudySummary) -> Table:
    """Two lines a run: whether and when it games, what that costs."""
    table = _table("when the policy starts to game the RM", "run", "games", "onset", "alarm", "gold, proxy", "nats")
    table.caption = (
        "onset: by gold, step [95 %]; alarm: the reward's bend is seen, below: its step\n"
        "gold, below it proxy: start → gold's best step → end"
    )
    for run in summary.runs:
        table.add_row(*(Text("\n").join(map(safe_text.terminal, lines)) for lines in _cells(run)))
    return table


def laws_table(summary: StudySummary) -> Table:
    """α and β of every fitted law."""
    table = _table("laws: d(α − β log d) for RL, d(α − βd) for best-of-n", "run", "α [95 %]", "β [95 %]", "peak at d")
    rows = [(run.info.name, run.fit) for run in summary.runs]
    if summary.pool is not None:
        rows.append((f"best of {summary.pool.ns[-1]}", summary.pool.fit))
    for name, fit in rows:
        if fit is not None:
            table.add_row(safe_text.terminal(name), *_law(fit))
    return table


def comparison_table(comparison: StudyComparison) -> Table:
    """Two rows a pair of runs, before and after; what the pairs show together is the caption."""
    table = _table(f"{comparison.before} → {comparison.after}", "run", "", "games", "onset", "nats", "best gold",
                   "end gold", "end nats")  # fmt: skip
    table.caption = safe_text.terminal("\n".join(comparison_sentences(comparison)), keep_whitespace=True)
    for pair in comparison.pairs:
        for when, side in (("before", pair.before), ("after", pair.after)):
            table.add_row(
                safe_text.terminal(pair.run if when == "before" else ""),
                when,
                YES[side.games],
                "never" if side.onset is None else f"{side.onset:.0f}",
                "never" if side.onset_kl is None else f"{side.onset_kl:.1f}",
                _known(side.best_gold, 3),
                f"{side.last_gold:.3f}",
                _known(side.last_kl, 0),
            )
    return table


def _table(title: str, first: str, *columns: str) -> Table:
    """Tight, for the 80 columns of a terminal; a long name in the first column goes on in the next line."""
    table = Table(
        title=safe_text.terminal(title), title_justify="left", caption_justify="left", box=box.SIMPLE,
        padding=(0, 1, 0, 0), pad_edge=False,
    )  # fmt: skip
    table.add_column(first, overflow="fold")
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def comparison_sentences(comparison: StudyComparison) -> list[str]:
    """What the pairs show together, a sentence each."""
    found = []
    if comparison.games is not None:
        found.append(f"games: {_rate(comparison.games[0])} → {_rate(comparison.games[1])}")
    if comparison.later is not None and comparison.further is not None:
        found.append(f"gaming starts later, or never: {_rate(comparison.later)}; by nats: {_rate(comparison.further)}")
    if comparison.best_gold is not None and comparison.last_gold is not None:
        found.append(f"gold at the best step {_change(comparison.best_gold)}")
        found.append(f"gold at the end {_change(comparison.last_gold)}")
    found += [f"gold at {budget:g} nats {_change(change)}" for budget, change in comparison.budgets]
    return found


def _known(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _rate(one: Rate) -> str:
    return f"{round(one.value * one.n)} of {one.n} [{one.low:.0%}–{one.high:.0%}]"


def _change(one: Difference) -> str:
    return f"{one.value:+.3f} [{one.low:+.3f} to {one.high:+.3f}], n {one.n}"


def _cells(run: RunSummary) -> list[tuple[str, str]]:
    """Per column what stands above and what below."""
    kl = run.points[-1].kl if run.points else None
    return [
        (run.info.name, "" if run.info.status == "done" else run.info.status),
        (YES[run.with_gold.games], ""),
        (_bend(run.with_gold.onset), ""),
        ("none", "") if run.alarm is None else (f"{run.alarm.step:.0f}", f"{run.alarm.onset:.0f}"),
        _courses(run),
        ("" if kl is None else f"{kl:.1f}", ""),
    ]


def _courses(run: RunSummary) -> tuple[str, str]:
    """Gold and proxy at the start, at gold's best step, at the end."""
    points = [run.points[0], run.best, run.points[-1]] if run.points else []
    gold, proxy = ([None if point is None else getattr(point, name) for point in points] for name in ("gold", "proxy"))
    return _course(gold), _course(proxy)


def _course(values: Sequence[float | None]) -> str:
    known = ["–" if value is None else f"{value:.2f}" for value in values]
    return "→".join(known) if set(known) - {"–"} else "not known"


def _bend(found: BendInterval | None) -> str:
    return "none" if found is None else f"{found.bend.step:.0f} [{found.low:.0f}–{found.high:.0f}]"


def _law(fit: Fit) -> list[str]:
    return [_estimate(fit.alpha), _estimate(fit.beta), "none" if fit.peak is None else f"{fit.peak:.2f}"]


def _estimate(one: ValueWithInterval) -> str:
    return f"{one.value:.3f} [{one.low:.3f}–{one.high:.3f}]"
