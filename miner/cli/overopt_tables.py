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
    from miner.overopt.comparison import Comparison
    from miner.overopt.fits import Estimate, Fit
    from miner.overopt.summary import RunSummary, StudySummary
    from miner.statistics import Difference, Rate


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
    if summary.comparison is not None:
        console.print(comparison_table(summary.comparison))
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


def comparison_table(comparison: Comparison) -> Table:
    """One row a pair of runs; what they show together is the caption."""
    table = Table(
        title=f"{safe_text.terminal(comparison.before)} → {safe_text.terminal(comparison.after)}",
        title_justify="left", box=box.SIMPLE, caption="\n".join(told(comparison)), caption_justify="left",
    )  # fmt: skip
    for column in ("run", "games", "onset, step", "onset, nats", "best gold", "gold at the end", "KL at the end"):
        table.add_column(column, no_wrap=True)
    for pair in comparison.pairs:
        sides = (pair.before, pair.after)
        shown = (
            [{True: "yes", False: "no", None: "?"}[side.games] for side in sides],
            ["never" if side.onset is None else f"{side.onset:.0f}" for side in sides],
            ["never" if side.onset_kl is None else f"{side.onset_kl:.1f}" for side in sides],
            [f"{side.best_gold:.3f}" for side in sides],
            [f"{side.last_gold:.3f}" for side in sides],
            [f"{side.last_kl:.0f}" for side in sides],
        )
        table.add_row(safe_text.terminal(pair.run), *(" → ".join(both) for both in shown))
    return table


def told(comparison: Comparison) -> list[str]:
    """What the pairs show together, a sentence each."""
    found = []
    if comparison.games is not None:
        found.append(f"games: {_rate(comparison.games[0])} → {_rate(comparison.games[1])}")
    if comparison.later is not None and comparison.further is not None:
        found.append(f"gaming starts later, or never: {_rate(comparison.later)}; by nats: {_rate(comparison.further)}")
    if comparison.best_gold is not None and comparison.last_gold is not None:
        found.append(
            f"gold at the best step {_change(comparison.best_gold)}, at the end {_change(comparison.last_gold)}"
        )
    found += [f"gold at {budget:g} nats {_change(change)}" for budget, change in comparison.budgets]
    return found


def _rate(one: Rate) -> str:
    return f"{round(one.value * one.n)} of {one.n} [{one.low:.0%}–{one.high:.0%}]"


def _change(one: Difference) -> str:
    return f"{one.value:+.3f} [{one.low:+.3f} to {one.high:+.3f}], n {one.n}"


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
