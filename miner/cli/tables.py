"""Results as tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from miner import safe_text

if TYPE_CHECKING:
    from miner.campaigns.estimate import Estimate, JudgingEstimate
    from miner.campaigns.results import AttackResult, RoundSummary
    from miner.campaigns.tuning import TuningReport
    from miner.config.published_models import Known
    from miner.measuring.benchmark import BenchReport, BenchRow
    from miner.measuring.doctor import Report as DoctorReport
    from miner.reporting.summary import Summary
    from miner.statistics import Difference, MedianCost, Rate


def summary_table(summary: Summary) -> Group:
    """Success by round and attack, clean accuracy by round, and the default verdict's errors."""
    table = Table(
        title="certified nonsense found on held-out prompts",
        caption="median: queries to a find. > ref: beat the good answer alone. seen: the patch saw its family",
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE,
    )
    for column in ("round", "attack", "budget", "found", "rate [95 %]", "median", "> ref", "seen"):
        table.add_column(column, no_wrap=True)
    for one in summary.rounds:
        for row in one.attacks:
            table.add_row(*map(safe_text.terminal, _cells(one, row)))
    lines = [Text(_accuracy(one)) for one in summary.rounds if one.clean_accuracy]
    verdict = summary.checks.get("verdict")
    if verdict:
        hits = ", ".join(f"{plant} {percent(rate)}" for plant, rate in verdict.hit_rate.items())
        lines.append(
            Text(f"verdict: false alarms {percent(verdict.false_alarm)} (n {verdict.false_alarm.n}); hits {hits}")
        )
    if summary.seconds_a_judged_text is not None:
        lines.append(Text(f"a verdict took {1000 * summary.seconds_a_judged_text:.3g} ms a text"))
    return Group(table, *lines)


def known_list(families: Sequence[Known]) -> Group:
    """Each family with what to mind, its ids, and the settings that they bring."""
    lines: list[Text] = []
    for one in families:
        lines.append(Text(one.family, style="bold").append(f": {one.note}", style="not bold"))
        lines += [Text(f"  {model}") for model in one.models]
        lines += [Text(f"    {key} = {value!r:.60}", style="dim") for key, value in _dotted(one.settings, "rm")]
    return Group(*lines, Text("\n--rm with one of these ids applies its settings; --set key=value wins over them"))


def _dotted(values: Mapping[str, object], prefix: str) -> list[tuple[str, object]]:
    return [
        pair
        for key, value in values.items()
        for pair in (_dotted(value, f"{prefix}.{key}") if isinstance(value, Mapping) else [(f"{prefix}.{key}", value)])
    ]


COLOURS: dict[str, str] = {"green": "green", "amber": "yellow", "red": "bold red"}


def doctor_table(report: DoctorReport) -> Group:
    """One row an examination, each red or amber one with what to do."""
    title = Text("doctor: ").append_text(safe_text.terminal(report.model))
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    table.add_column("", no_wrap=True)
    table.add_column("examination", no_wrap=True)
    table.add_column("found, and what to do")
    for one in report.diagnoses:
        told = Text().append_text(safe_text.terminal(one.found))
        if one.fix:
            told.append("\n→ ").append_text(safe_text.terminal(one.fix))
        table.add_row(Text(one.colour, style=COLOURS[one.colour]), one.examination, told)
    counts = ", ".join(f"{count} {colour}" for colour, count in report.counts.items())
    return Group(table, Text(f"{counts}; on {report.texts}, {report.seconds:.0f} s"))


def bench_table(report: BenchReport) -> Group:
    """One row an RM, the hardest to fool first, and what each two differ by."""
    suite = report.suite
    ran = f"suite {suite.version}: {suite.prompts} held-out prompts, {suite.budget_queries} queries"
    table = Table(
        title=ran if report.attacked else "findings replayed; no RM was attacked",
        caption=f"ranked by mean break cost, then replays. broken: by {' or '.join(report.ranked_by) or 'no attack'}, "
        "which all were put through. cost: median queries to the first find. reach: prompts on which the best text "
        "wins that was found on others. trivial: prompts on which a trivial answer beats the good one",
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE,
    )
    rows = [_bench_cells(place, row, suite.attacks) for place, row in enumerate(report.rows, start=1)]
    for column in rows[0]:
        if any(cells[column] for cells in rows):  # what was not measured takes no room
            table.add_column(column.strip(), overflow="fold", min_width=10 if column == "RM" else None)
    for cells in rows:
        table.add_row(*(safe_text.terminal(cell) for name, cell in cells.items() if any(row[name] for row in rows)))
    lines = [
        safe_text.terminal(
            f"{one.model} minus {one.other}: {one.cost.value:+.0f} queries "
            f"[{one.cost.low:+.0f} to {one.cost.high:+.0f}], n {one.cost.n}"
        )
        for one in report.comparisons
    ]
    return Group(table, *lines)


def _bench_cells(place: int, row: BenchRow, attacks: Sequence[str]) -> dict[str, str]:
    rates = {one.attack: f"{one.rate:.0%}" if one.n else "failed" for one in row.attacks}
    broken = row.broken
    return {
        " ": str(place),
        "RM": row.model,
        "broken": f"{broken.value:.0%} [{100 * broken.low:.0f}–{100 * broken.high:.0f}]" if broken else "",
        "cost": _cost(row.cost) if row.cost else "",
        "mean": f"{row.mean_cost:.0f}" if row.mean_cost is not None else "",
        **{name: rates.get(name, "") for name in attacks},
        "reach": f"{row.best_reach.best_wins.value:.0%}" if row.best_reach else "",
        "replayed": _replayed(row),
        "trivial": f"{row.trivial.value:.0%}" if row.trivial else "",
        "accuracy": f"{row.clean_accuracy.value:.1%}" if row.clean_accuracy else "",
        "without": ", ".join(row.unable),
        "errors": "not measured" if row.failed is not None else str(row.errors) if row.errors else "",
    }


def _replayed(row: BenchRow) -> str:
    left = f", {row.not_scored} not taken" if row.not_scored else ""
    return f"{row.replay.value:.0%} of {row.replay.n}{left}" if row.replay else left.removeprefix(", ")


def _cost(cost: MedianCost) -> str:
    value, low, high = (
        f"> {cost.budget}" if end is None else f"{end:.0f}" for end in (cost.value, cost.low, cost.high)
    )
    return f"{value} [{low}–{high}]"


def tuning_table(found: TuningReport) -> Group:
    """The hyper-parameters before and after, and what the change is worth."""
    table = Table(title=f"{found.attack}, tuned in {len(found.trials)} trials", title_justify="left", box=box.SIMPLE)
    for column in ("hyper-parameter", "default", "tuned", "importance"):
        table.add_column(column)
    for name, value in found.default.items():
        weight = f"{found.importances[name]:.0%}" if name in found.importances else ""
        table.add_row(name, f"{value}", f"{found.tuned[name]}", weight)
    change = found.change
    return Group(
        table,
        Text(
            f"queries to a find on {found.train_prompts} train prompts, at most {found.budget}: "
            f"default {found.default_cost:.0f}, tuned {found.tuned_cost:.0f} (the best of the trials, so flattering)"
        ),
        Text(
            f"on {change.n} held-out prompts: tuned minus default {change.value:+.0f} queries "
            f"[{change.low:+.0f} to {change.high:+.0f}]; found {percent(found.held_out_default)} by default, "
            f"{percent(found.held_out_tuned)} tuned"
        ),
    )


def _cells(one: RoundSummary, row: AttackResult) -> tuple[str, ...]:
    if not row.n:
        return str(one.round), row.attack, str(row.budget), "", f"all {row.errors} failed", "", "", ""
    return (
        str(one.round),
        row.attack,
        str(row.budget),
        f"{row.found}/{row.n}",
        f"{row.rate:.0%} [{row.low:.0%}–{row.high:.0%}]",
        f"{row.median_queries:.0f}" if row.median_queries is not None else f"> {row.budget}",
        f"{row.beats_reference.value:.0%}" if row.beats_reference else "",
        "" if one.round == 0 else "yes" if row.seen else "no",
    )


def _accuracy(one: RoundSummary) -> str:
    assert one.clean_accuracy is not None
    line = f"round {one.round}: clean accuracy {percent(one.clean_accuracy)}, n {one.clean_accuracy.n}"
    return line + (f"; change {points(one.accuracy_change)}" if one.accuracy_change else "")


def percent(rate: Rate) -> str:
    return f"{rate.value:.1%} [{rate.low:.1%}–{rate.high:.1%}]"


def points(change: Difference) -> str:
    return f"{100 * change.value:+.1f} points [{100 * change.low:+.1f} to {100 * change.high:+.1f}]"


def _judging(judging: JudgingEstimate) -> str:
    low, high = (f"{1000 * seconds:.3g}" for seconds in (judging.clear, judging.calibrating))
    minutes = judging.n_calibration * judging.calibrating / 60
    return (
        f"a verdict takes {low} to {high} ms with this reference LM; calibrating it on {judging.n_calibration:,} clean "
        f"texts about {minutes:.1f} minutes, once a run"
    )


def dry_run_table(found: Estimate) -> Group:
    table = Table(title="what would run", title_justify="left")
    for column in ("stage", "attempts", "queries at most", "minutes at most"):
        table.add_column(column)
    for stage in found.stages:
        table.add_row(stage.name, str(stage.attempts), str(stage.queries), f"{stage.seconds / 60:.1f}")
    return Group(
        table,
        Text(
            f"{found.queries_per_second:.0f} queries/s on {found.device}, ranking in {found.dtype}, timed on "
            f"{found.n_timed} texts; training in {found.training_dtype}"
        ),
        Text(f"products here: {', '.join(f'{rate:.3g} GFLOP/s in {dtype}' for dtype, rate in found.gflops.items())}"),
        *([] if found.judging is None else [Text(_judging(found.judging))]),
        *(Text(f"not checked here, the run may stop there: {one}") for one in found.unchecked),
        Text(f"memory: about {found.memory_mb:.0f} MB. Searches end at their first finding: most runs take less."),
    )
