"""Tables of what `gap` measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from miner import safe_text
from miner.cli.diversity_tables import average, share, signed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miner.measuring.gap import ChoiceValue, GapReport, Selection
    from miner.statistics import Difference


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
    """A row for every policy; the page has the intervals of all columns."""
    first = report.selections[0]
    title = f"gold of the pick out of {first.pool}, policy by policy ({report.settings['gold']})"
    table = _table(title)
    table.padding = (0, 1, 0, 0)  # seven columns in a terminal's 80
    table.caption_justify = "left"
    table.caption = safe_text.terminal(f"texts: distinct samples of a prompt; change: since {first.label}, in pairs")
    for column in ("policy", "√KL", "texts", "sample", "pick", "pick − sample", "change"):
        table.add_column(column, no_wrap=True)
    for one in report.selections:
        choice = one.choice
        table.add_row(
            safe_text.terminal(one.label),
            "" if one.sqrt_kl is None else f"{one.sqrt_kl:.2f}",
            f"{one.distinct.value:.1f}",
            f"{one.sample.value:.3f}",
            f"{one.pick.value:.3f}",
            "nothing to choose" if choice is None else _two_lines(choice.gain),
            _two_lines(choice.gain_change) if choice and choice.gain_change else "",
        )
    return table


def _two_lines(change: Difference) -> str:
    return signed(change).replace(" [", "\n[", 1)


def _series_lines(selections: Sequence[Selection]) -> list[str]:
    """Where the gap is negative, where the curves turn, and how often the RM ranks two samples right."""
    pool = selections[0].pool
    chosen = [(one.label, one.choice) for one in selections if one.choice is not None]
    negative = [f"{label} (from n = {choice.negative_from})" for label, choice in chosen if choice.negative_from]
    turns = [f"{label} (n = {choice.turn.n})" for label, choice in chosen if choice.turn.sure]
    ranks = [f"{label} {average(choice.concordance)}" for label, choice in chosen if choice.concordance]
    worse = [one.label for one in selections if one.is_reversed]
    return [
        f"the pick out of {pool} is worth less than a sample (whole interval below zero) at: {_listed(negative)}",
        f"more samples make the pick worse within {pool} at: {_listed(turns)}",
        f"ranks two samples as gold does: {_listed(ranks)}",
        f"ranks them worse than a coin (whole interval below one half) at: {_listed(worse)}",
    ]


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(parts) if parts else "no policy"


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


def _choice_lines(choice: ChoiceValue, pool: int) -> list[str]:
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
