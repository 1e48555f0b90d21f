"""``rmminer bench``: which RM is hardest to fool?"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corpus.working_copy import located, shown
from miner.cli import options as o
from miner.cli.corpus_verbs import existing_corpus
from miner.cli.output import command_line, out, plain, print_json, say_error
from miner.cli.tables import bench_table, dry_run_table
from miner.cli.watcher import running

if TYPE_CHECKING:
    from collections.abc import Mapping

    from corpus.records import Finding
    from miner.config.campaign import CampaignConfig
    from miner.measuring.benchmark import BenchReport
    from miner.measuring.benchmark.entrants import Entrants

OVER_LIMIT = 100
ERRORS = 1
SUITES_OWN = ("attacks", "evaluate", "out", "rounds")


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """The options of ``rmminer bench`` that say what is measured."""

    models: Annotated[
        list[str],
        typer.Argument(help="Reward models: folders, hub ids, addresses or campaign files; 'docs': the built-in ones."),
    ]
    folder: Annotated[str, typer.Option("--out", help="Folder of the results; the same folder resumes.")] = "runs/bench"
    data: Annotated[str, typer.Option(help="Preference data, or 'docs'.")] = "docs"
    reference_lm: o.ReferenceLm = None
    replay: Annotated[
        list[Path] | None, typer.Option(help="Corpus whose findings are scored again; repeat for more.")
    ] = None
    suite: Annotated[bool, typer.Option("--suite/--no-suite", help="Attack the RMs, or only replay.")] = True
    seed: o.Seed = None
    device: o.Device = None
    dtype: o.DType = None
    shard: o.ShardOption = None
    settings: o.Settings = None

    def shared(self) -> dict[str, Any]:
        """What all RMs are measured under, by dotted key. Raises: ConfigError: a setting that the suite fixes."""
        _refuse_suites_own(self.settings or [])
        return o.overrides_from_options(
            o.CampaignOptions(
                data=self.data,
                reference_lm=self.reference_lm,
                seed=self.seed,
                device=self.device,
                dtype=self.dtype,
                settings=self.settings,
            )
        )

    def entrants(self, shared: Mapping[str, Any]) -> Entrants:
        from miner.config.campaign import parse_config
        from miner.measuring.benchmark.entrants import entrants

        raw = {"out": self.folder, "rm": {"source": self.models[0]}}
        world = parse_config(raw, _of_the_world(shared), where="command line")
        return entrants(self.models, world.data, observer=running())


def bench(
    options: BenchOptions,
    fail_over: Annotated[
        float | None, typer.Option(help="Exit with 100 where a rate is over this limit.", min=0, max=1)
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML there.")] = None,
    json: o.Json = False,
    dry_run: o.DryRun = False,
) -> None:
    """Attack one or many RMs with a fixed suite, replay stored findings, and rank them by what fooling them costs."""
    from miner.measuring.benchmark import SUITE, bench, suite_config
    from miner.measuring.benchmark.junit import write_junit
    from miner.reporting.bench_page import write_page
    from miner.searching.shards import shard_of

    shared, folder, watcher = options.shared(), located(options.folder), running()
    with watcher.stage("reading the findings to replay") if options.replay else nullcontext():
        found = _findings(options.replay or [])
    named = options.entrants(shared)
    if dry_run:
        return _dry_run(
            {name: suite_config(name, table, folder, SUITE, shared) for name, table in named.items()}, json=json
        )
    report = bench(
        named,
        out=folder,
        suite=SUITE,
        settings=shared,
        observer=watcher,
        findings=found,
        attack=options.suite,
        command=command_line(),
        publish=write_page,
        shard=shard_of(options.shard),
    )
    if junit is not None:
        write_junit(report, junit, limit=fail_over)
    _print(report, folder, len(found), fail_over, json=json)
    return None


def _print(report: BenchReport, folder: Path, n_findings: int, limit: float | None, *, json: bool) -> None:
    """The ranking. Ends with status 100 where a rate is over the limit, 1 where something was not measured."""
    from miner.reporting.bench_page import PAGE_NAME

    over = [
        f"{one.model}: {one.name}, {one.rate:.1%} of {one.n} win" for one in report.rates_against(limit) if one.failed
    ]
    if json:
        print_json({**plain(report), "over_limit": over})
    else:
        out().print(bench_table(report))
        out().print(f"page: {shown(folder / PAGE_NAME)}", markup=False)
        for line in over:
            out().print(f"over the limit: {line}", markup=False)
    if over:
        raise typer.Exit(OVER_LIMIT)
    troubles = _troubles(report, n_findings)
    for line in troubles:
        say_error(line)
    if troubles:
        raise typer.Exit(ERRORS)


def _troubles(report: BenchReport, n_findings: int) -> list[str]:
    """What was asked for and not measured: no such run may pass a test."""
    lines = [f"{row.model} could not be measured: {row.failed}" for row in report.rows if row.failed is not None]
    lines += [
        f"{row.model} takes none of the {n_findings} findings: nothing was replayed"
        for row in report.rows
        if n_findings and row.failed is None and row.replay is None
    ]
    if report.errors:
        lines.append(f"{report.errors} attempts ended in an error; their prompts are left out of costs and ranks")
    return lines


def _of_the_world(shared: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without those of the RM, which go with some models and not with others."""
    return {key: value for key, value in shared.items() if key.split(".")[0] != "rm"}


def _refuse_suites_own(settings: list[str]) -> None:
    """The suite is fixed: what would change it is refused, not dropped."""
    from miner.errors import ConfigError

    for setting in settings:
        if setting.split("=")[0].split(".")[0].strip() in SUITES_OWN:
            raise ConfigError(f"--set {setting}: the suite fixes that. For attacks of your own: rmminer evaluate")


def _findings(corpora: list[Path]) -> list[Finding]:
    found = {finding.finding_id: finding for path in corpora for finding in existing_corpus(path).findings()}
    return [finding for finding in found.values() if finding.kind == "nonsense"]


def _dry_run(configs: dict[str, CampaignConfig], *, json: bool) -> None:
    from miner.campaigns.estimate import estimate
    from miner.campaigns.rehearsal import Stages

    found = {}
    with running().stage("timing the reward models") as advance:
        for name, config in configs.items():
            asked = Stages(names=("evaluate",), leaving_out_unable=True)
            found[name] = estimate(config, asked)
            advance(len(found), len(configs))
    if json:
        print_json([{"model": name, **plain(one)} for name, one in found.items()])
        return
    for name, one in found.items():
        out().print(f"{name}:", markup=False)
        out().print(dry_run_table(one))
