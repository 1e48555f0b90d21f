"""The verbs that run a campaign's stages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from corpus.working_copy import shown
from miner.cli import options as o
from miner.cli.output import command_line, out, print_json
from miner.cli.tables import dry_run_table, summary_table, tuning_table
from miner.cli.watcher import running

if TYPE_CHECKING:
    from miner.campaigns.opening import OpenCampaign
    from miner.config.campaign import CampaignConfig
    from miner.reporting.summary import Summary
    from miner.searching.mining import MiningReport

SEARCHING = (
    "config", "out", "rm", "data", "policy", "reference_lm", "attacks", "budget", "prompts", "seed", "device", "dtype",
    "ascii_only", "settings",
)  # fmt: skip
MineOptions = Annotated[o.CampaignOptions, o.Only(*SEARCHING, "shard")]
EvaluateOptions = Annotated[o.CampaignOptions, o.Only(*SEARCHING, "adaptive", "shard")]
CycleOptions = Annotated[o.CampaignOptions, o.Only(*SEARCHING, "rounds", "adaptive")]
PatchOptions = Annotated[o.CampaignOptions, o.Only("config", "out", "rm", "data", "seed", "device", "settings")]
TuneOptions = Annotated[
    o.CampaignOptions,
    o.Only("config", "out", "rm", "data", "reference_lm", "budget", "prompts", "seed", "device", "dtype", "settings"),
]


def demo(
    run: Annotated[
        str | None, typer.Option("--out", help="Folder of the run, runs/demo or runs/demo-quick unless named.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Smaller models and budgets: minutes, not a measurement.")
    ] = False,
    json: o.Json = False,
    dry_run: o.DryRun = False,
) -> None:
    """The whole cycle on docs world, offline: train an RM, fool it, patch it, fool it again, report."""
    from miner.worlds.docs.demo import demo_config

    out_folder = run or ("runs/demo-quick" if quick else "runs/demo")
    _cycle(demo_config(out=out_folder, seed=seed, quick=quick), json=json, dry_run=dry_run)


def mine(options: MineOptions, round_number: o.Round = 0, json: o.Json = False, dry_run: o.DryRun = False) -> None:
    """Attack prompts of the train split; store what is confirmed and certified."""
    config = o.config_from_options(options, "mine")
    if dry_run:
        return _print_estimate(config, ("mine",), json=json, round_number=round_number)
    from miner.campaigns.stages import mine_round

    campaign = _open_part(config, options.shard)
    report = mine_round(campaign, round_number)
    line = (
        f"{report.found} findings in {report.made} attempts ({report.skipped} were stored before, "
        f"{report.errors} ended in an error). Corpus: {shown(campaign.corpus.path)}"
    )
    _print_result(report, line, json=json)
    return _require_one_that_ran(report)


def patch(options: PatchOptions, round_number: o.Round = 0, json: o.Json = False, dry_run: o.DryRun = False) -> None:
    """Retrain the RM on the mined findings of the train split; writes rounds/<n+1>/model."""
    config = o.resume_or_load_config(options)
    if dry_run:
        return _print_estimate(config, ("patch",), json=json, round_number=round_number)
    from miner.campaigns.stages import patch_round

    campaign = _open(config)
    report = patch_round(campaign, round_number)
    model = campaign.run.model(round_number + 1)
    left = f" ({report.not_shown} more found no place in {report.steps} steps)" if report.not_shown else ""
    line = f"patched on {report.findings} findings{left} and {report.clean_pairs} clean pairs: {shown(model)}"
    return _print_result({"model": str(model), "report": report}, line, json=json)


def evaluate(
    options: EvaluateOptions, round_number: o.Round = 0, json: o.Json = False, dry_run: o.DryRun = False
) -> None:
    """Attack held-out prompts with every attack and the control, and take the clean accuracy."""
    config = o.resume_or_load_config(options, "evaluate")
    if dry_run:
        return _print_estimate(config, ("evaluate",), json=json, round_number=round_number)
    from miner.campaigns.stages import evaluate_round
    from miner.reporting.campaign_report import write_summary

    campaign = _open_part(config, options.shard)
    report = evaluate_round(campaign, round_number)
    _print_summary(write_summary(campaign, command=command_line()), json=json)
    return _require_one_that_ran(report)


def cycle(options: CycleOptions, json: o.Json = False, dry_run: o.DryRun = False) -> None:
    """Rounds of mine, patch and evaluate, then the report."""
    _cycle(o.config_from_options(options, "mine", "evaluate"), json=json, dry_run=dry_run)


def tune(
    options: TuneOptions,
    attack: Annotated[str, typer.Option(help="The attack to tune.")] = "gcg",
    trials: Annotated[
        int | None, typer.Option(help="Settings to try, the default among them.", show_default=False)
    ] = None,
    json: o.Json = False,
    dry_run: o.DryRun = False,
) -> None:
    """Find an attack's best hyper-parameters for an RM (Optuna); writes tuned.toml, a campaign file with them."""
    asked = [] if trials is None else [f"tune.trials={trials}"]
    config = o.resume_or_load_config(options.with_settings(*asked), "tune")
    if dry_run:
        return _print_estimate(config, ("tune",), json=json, tuned_attack=attack)
    from miner.campaigns.tuning import tune as tune_attack

    campaign = _open(config)
    found = tune_attack(campaign, attack)
    if json:
        print_json(found)
    else:
        out().print(tuning_table(found))
        out().print(f"campaign file: {shown(campaign.folder / 'tuned.toml')}", markup=False)
    return None


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    max_findings: Annotated[int, typer.Option(help="Rows of the findings table.")] = 200,
    attribution: Annotated[bool, typer.Option(help="Heat maps of the findings (needs the RM).")] = True,
    json: o.Json = False,
    dry_run: o.DryRun = False,
) -> None:
    """Write report.html and its plots from what a run has stored."""
    if dry_run:
        from miner.reporting.reading import choose, read_run

        stored = read_run(run)
        n_shown = len(choose(stored.findings, max_findings))
        counts = {"rounds": len(stored.rounds), "findings": len(stored.findings), "shown": n_shown}
        line = (
            f"{shown(run / 'report.html')}: {len(stored.rounds)} rounds, {n_shown} of {len(stored.findings)} findings"
        )
        return _print_result(counts, line, json=json)
    from miner.campaigns.run_folder import RunFolder

    config = RunFolder(run).read_config()
    from miner.reporting.campaign_report import report_run

    load = _open(config).models.open_rm if attribution else None  # without, neither data nor RM has to be here
    files = report_run(run, running(), max_findings=max_findings, load=load)
    return _print_result(files, f"report: {shown(files.html)}", json=json)


def _cycle(config: CampaignConfig, *, json: bool, dry_run: bool) -> None:
    if dry_run:
        return _print_estimate(config, ("evaluate", *("mine", "patch", "evaluate") * config.rounds), json=json)
    from miner.campaigns.stages import run_cycle
    from miner.reporting.campaign_report import report_run, write_summary

    campaign = _open(config)
    reports = run_cycle(campaign)
    summary = write_summary(campaign, command=command_line())
    files = report_run(campaign.folder, campaign.observer, load=campaign.models.open_rm)
    _print_summary(summary, json=json)
    if not json:
        out().print(f"report: {shown(files.html)}", markup=False)
    for made in reports:
        _require_one_that_ran(made)
    return None


def _open(config: CampaignConfig) -> OpenCampaign:
    from miner.campaigns.opening import OpenCampaign

    return OpenCampaign(config, running())


def _open_part(config: CampaignConfig, shard: str | None) -> OpenCampaign:
    """For a stage that several processes may share."""
    from miner.campaigns.opening import OpenCampaign
    from miner.searching.shards import shard_of

    return OpenCampaign(config, running(), shard=shard_of(shard))


def _require_one_that_ran(report: MiningReport) -> None:
    """Refuse a stage of which every attempt ended in an error: nothing was measured.

    Raises:
        CapabilityError: so it was.
    """
    from miner.errors import CapabilityError

    if report.made and report.errors == report.made:
        raise CapabilityError(
            f"all {report.made} attempts ended in an error, so nothing was measured. Why: rmminer corpus query RUN "
            '"select attack, error from attempts". Try another attack, or rmminer doctor on the RM'
        )


def _print_summary(summary: Summary, *, json: bool) -> None:
    if json:
        print_json(summary)
    else:
        out().print(summary_table(summary))


def _print_estimate(
    config: CampaignConfig, stages: tuple[str, ...], *, json: bool, round_number: int = 0, tuned_attack: str = ""
) -> None:
    from miner.campaigns.estimate import estimate
    from miner.campaigns.rehearsal import Stages

    watcher = running()
    asked = Stages(names=stages, round=round_number, tuned_attack=tuned_attack)
    with watcher.stage("asking what the run would ask, timing the reward model"):
        found = estimate(config, asked, watcher)
    if json:
        print_json(found)
    else:
        out().print(dry_run_table(found))


def _print_result(value: object, line: str, *, json: bool) -> None:
    if json:
        print_json(value)
    else:
        out().print(line, markup=False)
