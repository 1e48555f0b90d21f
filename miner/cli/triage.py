"""``rmminer triage``: what a run's findings are made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from corpus.records import Split
from corpus.working_copy import shown
from miner import safe_text
from miner.cli import options as o
from miner.cli.output import clipped, out, print_json
from miner.cli.tables import percent
from miner.cli.watcher import running

if TYPE_CHECKING:
    from miner.measuring.triage.forecast import Forecast
    from miner.measuring.triage.result import Auroc, GroupResult, TriageResult
    from miner.measuring.triage.settings import TriageSettings

SHOWN_GROUPS = 30
TEXT_CHARACTERS = 100
CAUSE_FEATURES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class TriageOptions:
    """What the command line says of which findings are triaged, and how."""

    rounds: Annotated[
        list[int] | None, typer.Option("--round", help="Findings of this round only; repeat for more.")
    ] = None
    split: Annotated[str | None, typer.Option(help="Findings on train or held_out prompts only.")] = None
    limit: Annotated[int, typer.Option(help="Findings to triage, drawn by their ids (0: all).")] = 0
    max_queries: Annotated[
        int, typer.Option(help="Queries for a finding's minimal text at most, and again for its cause.")
    ] = 600
    bisect: Annotated[bool, typer.Option(help="Try every finding against every round's RM.")] = True
    distance: Annotated[bool, typer.Option(help="Distance of findings to clean text in the RM's last layer.")] = True
    attribution: Annotated[bool, typer.Option(help="Words that earn the reward, by gradient (slow).")] = True

    def settings(self) -> TriageSettings:
        """Raises: ConfigError: no such split."""
        from miner.errors import ConfigError
        from miner.measuring.triage.settings import TriageSettings

        if self.split not in (None, "train", "held_out"):
            raise ConfigError(f"--split {self.split}: expected train or held_out")
        split: Split | None = "train" if self.split == "train" else "held_out" if self.split else None
        return TriageSettings(
            rounds=tuple(self.rounds) if self.rounds else None,
            split=split,
            limit=self.limit,
            max_queries=self.max_queries,
            bisect=self.bisect,
            attribution=self.attribution,
            distance=self.distance,
        )


def triage(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    options: TriageOptions,
    shard: o.ShardOption = None,
    json: o.Json = False,
    dry_run: o.DryRun = False,
) -> None:
    """Shrink findings to what still wins, group them by cause, say which a patch fixed."""
    from miner.campaigns.opening import OpenCampaign
    from miner.campaigns.run_folder import RunFolder
    from miner.measuring.triage.forecast import forecast
    from miner.measuring.triage.triage import triage as triage_run
    from miner.reporting.summary import take_triage
    from miner.searching.shards import shard_of

    settings = options.settings()
    folder = RunFolder(run)
    config, expected = folder.read_config(), forecast(folder, settings)
    if dry_run:
        if json:
            print_json(expected)
        else:
            out().print(_line(expected), markup=False)
        return
    watcher = running()
    watcher.note(_line(expected))
    result = triage_run(OpenCampaign(config, watcher, shard=shard_of(shard)), settings)
    take_triage(run, result)
    if json:
        print_json(result)
    else:
        out().print(triage_table(result))
        out().print(
            f"all of it: {shown(run / 'triage' / 'triage.json')}; in the report: rmminer report {shown(run)}",
            markup=False,
        )


def _line(expected: Forecast) -> str:
    at_most = expected.queries_at_most
    spent = ", ".join(f"{name} {queries:,}" for name, queries in at_most.items() if queries)
    return (
        f"{expected.findings:,} findings, {sum(at_most.values()):,} queries at most ({spent}); "
        "what is stored is not measured again"
    )


def triage_table(result: TriageResult) -> Group:
    """The groups, then what distance and bisection say."""
    table = Table(
        title=f"{result.n} findings in {len(result.groups)} groups",
        caption="wins on: other prompts of its split that the text wins on. now: members that win against the newest "
        "RM. ÷: median shrink factor",
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE,
    )
    for column in ("group", "n", "prompts", "form", "now", "wins on", "÷"):
        table.add_column(column, no_wrap=True)
    table.add_column("cause, and the smallest text that still wins and is certified", overflow="fold")
    for group in result.groups[:SHOWN_GROUPS]:
        text = safe_text.terminal(clipped(group.representative, TEXT_CHARACTERS))
        table.add_row(
            *map(safe_text.terminal, _cells(group)),
            safe_text.terminal(f"{_cause(group)}\n", keep_whitespace=True) + text,
        )
    lines = [Text(line) for line in _lines(result)]
    return Group(table, *lines)


def _cells(group: GroupResult) -> tuple[str, ...]:
    return (
        group.group[:6],
        str(group.count),
        str(group.prompts),
        "\n".join(group.forms),
        "" if group.still_wins is None else str(group.still_wins),
        f"{group.reach.value:.0%} of {group.reach.n}" if group.reach else "",
        f"{group.shrink_factor:.1f}",
    )


def _cause(group: GroupResult) -> str:
    more = f" and {len(group.cause) - CAUSE_FEATURES} more" if len(group.cause) > CAUSE_FEATURES else ""
    return f"[{', '.join(group.cause[:CAUSE_FEATURES])}{more}]"


def _lines(result: TriageResult) -> list[str]:
    lines = []
    if len(result.groups) > SHOWN_GROUPS:
        lines.append(f"{len(result.groups) - SHOWN_GROUPS} smaller groups are not shown")
    if result.shrink_factor and result.one_minimal:
        factor = result.shrink_factor
        lines.append(
            f"shrunk {factor.value:.2f}-fold [{factor.low:.2f}–{factor.high:.2f}] in the median, n {factor.n}; "
            f"{result.queries_per_finding:.0f} queries a finding; 1-minimal {percent(result.one_minimal)}"
        )
    for one in result.distances:
        median = sorted(one.percentiles)[len(one.percentiles) // 2]
        lines.append(
            f"round {one.round}: findings lie at percentile {median:.0f} of clean text in the median; "
            f"distance tells them from it with AUROC {_auroc(one.auroc)}"
        )
    for fixed in result.fixed:
        told = _auroc(fixed.auroc) if fixed.auroc else "not known: all or none"
        lines.append(
            f"round {fixed.round}, {fixed.split}: the next patch fixed {fixed.fixed} of {fixed.n}; "
            f"AUROC of distance for those {told}"
        )
    for row in result.bisect:
        stopped = ", ".join(f"{n} in round {number}" for number, n in row.stopped.items())
        again = ", ".join(f"{n} in round {number}" for number, n in row.again.items())
        lines.append(
            f"found in round {row.found_in}, {row.split}: of {row.n} stopped {stopped or 'none'}, never {row.never}; "
            f"started again {again or 'none'}"
        )
    return [*lines, *(safe_text.visible(note) for note in result.notes)]


def _auroc(one: Auroc) -> str:
    return f"{one.value:.2f} [{one.low:.2f}–{one.high:.2f}], {one.n_positive} to {one.n_negative}"
