"""Tables of what `gap` measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from miner import safe_text
from miner.cli.measured import average, share, signed

if TYPE_CHECKING:
    from miner.gap import Choice, GapReport, Selection


def gap_table(report: GapReport) -> Group:
    """Gold of the pick, where it turns and where it is worth less than a sample; how often the truth is preferred."""
    parts: list[Table | Text] = []
    if len(report.selections) > 1:
        parts += [_series(report), *map(safe_text.terminal, _series_lines(report.selections))]
    elif report.selections:
        found = report.selections[0]
        parts += [_curve(report, found), *map(safe_text.terminal, _selection_lines(found))]
    if report.facts:
        parts += [_facts(report)]
        line = f"{report.findings} of {report.fact_attempts} swaps on held-out prompts win and are stored as findings"
        parts += [Text(line)]
    return Group(*parts, *(safe_text.terminal(f"note: {note}") for note in report.notes))


def _table(title: str, *columns: str) -> Table:
    table = Table(title=safe_text.terminal(title), title_justify="left", box=box.SIMPLE)
    for column in columns:
        table.add_column(column)
    return table


def _series(report: GapReport) -> Table:
    """A row for every policy."""
    pool = report.selections[0].pool
    table = _table(
        f"gold of the pick out of {pool} along the policies ({report.settings['gold']})",
        "policy", "√KL", "distinct", "a sample", "the pick", "pick − sample", "change", "negative", "turns",
        "ranks right",
    )  # fmt: skip
    for one in report.selections:
        table.add_row(
            safe_text.terminal(one.label),
            "" if one.sqrt_kl is None else f"{one.sqrt_kl:.2f}",
            f"{one.distinct.value:.1f}",
            average(one.sample),
            average(one.pick),
            *(["nothing to choose", "", "", "", ""] if one.choice is None else _choice_cells(one.choice)),
        )
    return table


def _choice_cells(choice: Choice) -> list[str]:
    return [
        signed(choice.gain),
        signed(choice.gain_change) if choice.gain_change else "",
        f"from n = {choice.negative_from}" if choice.negative_from else "no",
        f"at n = {choice.turn.n}" if choice.turn.sure else "no",
        average(choice.concordance) if choice.concordance else "",
    ]


def _series_lines(selections: list[Selection]) -> list[str]:
    first, pool = selections[0], selections[0].pool
    negative = [one.label for one in selections if one.is_negative]
    lines = [
        f"out of {pool} the RM's pick is worth less than a sample (the whole interval below zero) at: "
        + (", ".join(negative) if negative else "none of them")
    ]
    changed = [one for one in selections if one.choice is not None and one.choice.gain_change is not None]
    if changed and (change := changed[-1].choice) is not None and change.gain_change is not None:
        lines.append(f"gap of {changed[-1].label} minus that of {first.label}, in pairs: {signed(change.gain_change)}")
    return lines


def _curve(report: GapReport, found: Selection) -> Table:
    table = _table(f"gold of the pick out of n ({report.settings['gold']})", "n", "picked by the RM", "picked by gold")
    for point in found.curve:
        if point.n & (point.n - 1) == 0 or point.n == found.pool:
            table.add_row(str(point.n), average(point.picked), average(point.best))
    return table


def _selection_lines(found: Selection) -> list[str]:
    lines = [] if found.choice is None else _choice_lines(found.choice, found.pool)
    lines.append(f"distinct samples of a prompt: {average(found.distinct)} of {found.pool}")
    if found.prefers_reference:
        lines.append(f"ranks a sample below the reference: {average(found.prefers_reference)}")
    if found.to_reference:
        lines.append(f"the reference's gold minus the pick's: {signed(found.to_reference)}")
    return lines


def _choice_lines(choice: Choice, pool: int) -> list[str]:
    used = "" if choice.used is None else f", {choice.used:.0%} of what the best gives"
    lines = [f"out of {pool}: {signed(choice.gain)} gold over the policy{used}"]
    if choice.negative_from:
        lines.append(f"from n = {choice.negative_from} on the pick is worth less than a sample")
    turn = choice.turn
    if turn.sure:
        high = turn.high if turn.high is not None else f"over {pool}"
        lines.append(f"turns at n = {turn.n} [{turn.low}–{high}]: more samples make the pick worse")
    elif turn.n is not None:
        lines.append(f"highest at n = {turn.n}, but it turns in {turn.share:.0%} of resamples only: no turn is shown")
    else:
        lines.append(f"does not turn up to n = {pool} (it turns in {turn.share:.0%} of resamples)")
    if choice.concordance:
        lines.append(f"ranks two samples as gold does: {average(choice.concordance)}")
    return lines


def _facts(report: GapReport) -> Table:
    table = _table("true statements against one swapped fact", "fact", "prefers the truth", "n", "true − false",
                   "not provable")  # fmt: skip
    for one in report.facts:
        rate = one.prefers_true
        table.add_row(
            safe_text.terminal(one.kind), share(rate), str(rate.n), f"{one.mean_gap:+.2f}", str(one.abstained)
        )
    return table
