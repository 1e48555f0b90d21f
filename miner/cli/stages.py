"""The verbs that run a campaign's stages."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from miner.cli import options as o
from miner.cli.output import out, print_json
from miner.cli.tables import dry_run_table, summary_table, tuning_table
from miner.cli.watcher import running

if TYPE_CHECKING:
    from miner.campaigns.campaign import Campaign
    from miner.config.campaign import CampaignConfig
    from miner.progress import Observer
    from miner.rewards.base import RewardModel
    from miner.searching.mining import MiningReport


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
    _cycle_and_report(demo_config(out=out_folder, seed=seed, quick=quick), json=json, dry_run=dry_run)


def mine(
    config: o.ConfigFile = None,
    out_folder: Annotated[str | None, typer.Option("--out", help="Folder of the run.", show_default=False)] = None,
    rm: o.Rm = None,
    data: o.Data = None,
    policy: o.Policy = None,
    reference_lm: o.ReferenceLm = None,
    attack: o.Attacks = None,
    budget: o.Budget = None,
    prompts: o.Prompts = None,
    round_number: o.Round = 0,
    seed: o.Seed = None,
    device: o.Device = None,
    dtype: o.DType = None,
    ascii_only: o.Ascii = False,
    settings: o.Settings = None,
    json: o.Json = False,
    dry_run: o.DryRun = False,
) -> None:
    """Attack prompts of the train split; store what is confirmed and certified."""
    loaded = o.load_config(
        config,
        o.given_values(
            stage="mine",
            out=out_folder,
            rm=rm,
            data=data,
            policy=policy,
            reference_lm=reference_lm,
            attacks=attack,
            budget=budget,
            prompts=prompts,
            seed=seed,
            device=device,
            dtype=dtype,
            ascii_only=ascii_only,
            settings=settings,
        ),
    )
    if dry_run:
        return _dry_run(loaded, ("mine",), json=json)
    campaign = _open(loaded)
    report = campaign.mine(round_number)
    _tell(json, report, f"{report.found} findings in {report.made} attempts ({report.skipped} were stored before, "
                        f"{report.errors} ended in an error). Corpus: {campaign.corpus.path}")  # fmt: skip
    return _require_one_that_ran(report)


def patch(
    config: o.ConfigFile = None,
    out_folder: Annotated[str | None, typer.Option("--out", help="Folder of the run.", show_default=False)] = None,
    rm: o.Rm = None,
    data: o.Data = None,
    round_number: o.Round = 0,
    seed: o.Seed = None,
    device: o.Device = None,
    settings: o.Settings = None,
    json: o.Json = False,
    dry_run: o.DryRun = False,
) -> None:
    """Retrain the RM on the mined findings of the train split; writes rounds/<n+1>/model."""
    loaded = o.existing_or(
        config,
        o.given_values(stage="mine", out=out_folder, rm=rm, data=data, seed=seed, device=device, settings=settings),
    )
    if dry_run:
        return _dry_run(loaded, ("patch",), json=json)
    campaign = _open(loaded)
    report = campaign.patch(round_number)
    folder = campaign.round_folder(round_number + 1) / "model"
    _tell(json, {"model": str(folder), "report": report},
          f"patched on {report.findings} findings and {report.clean_pairs} clean pairs: {folder}")  # fmt: skip
    return None


def evaluate(
    config: o.ConfigFile = None,
    out_folder: Annotated[str | None, typer.Option("--out", help="Folder of the run.", show_default=False)] = None,
    rm: o.Rm = None,
    data: o.Data = None,
    policy: o.Policy = None,
    reference_lm: o.ReferenceLm = None,
    attack: o.Attacks = None,
    budget: o.Budget = None,
    prompts: o.Prompts = None,
    round_number: o.Round = 0,
    seed: o.Seed = None,
    device: o.Device = None,
    dtype: o.DType = None,
    ascii_only: o.Ascii = False,
    settings: o.Settings = None,
    json: o.Json = False,
    dry_run: o.DryRun = False,
) -> None:
    """Attack held-out prompts with every attack and the control, and take the clean accuracy."""
    loaded = o.existing_or(
        config,
        o.given_values(
            out=out_folder,
            stage="evaluate",
            rm=rm,
            data=data,
            policy=policy,
            reference_lm=reference_lm,
            attacks=attack,
            budget=budget,
            prompts=prompts,
            seed=seed,
            device=device,
            dtype=dtype,
            ascii_only=ascii_only,
            settings=settings,
        ),
    )
    if dry_run:
        return _dry_run(loaded, ("evaluate",), json=json)
    campaign = _open(loaded)
    report = campaign.evaluate(round_number)
    _summarise(campaign, json=json)
    return _require_one_that_ran(report)


def cycle(
    config: o.ConfigFile = None,
    out_folder: Annotated[str | None, typer.Option("--out", help="Folder of the run.", show_default=False)] = None,
    rm: o.Rm = None,
    data: o.Data = None,
    policy: o.Policy = None,
    reference_lm: o.ReferenceLm = None,
    attack: o.Attacks = None,
    budget: o.Budget = None,
    prompts: o.Prompts = None,
    rounds: Annotated[int | None, typer.Option(help="How many patches.", show_default=False)] = None,
    seed: o.Seed = None,
    device: o.Device = None,
    dtype: o.DType = None,
    ascii_only: o.Ascii = False,
    settings: o.Settings = None,
    json: o.Json = False,
    dry_run: o.DryRun = False,
) -> None:
    """Rounds of mine, patch and evaluate, then the report."""
    loaded = o.load_config(
        config,
        o.given_values(
            stage="both",
            out=out_folder,
            rm=rm,
            data=data,
            policy=policy,
            reference_lm=reference_lm,
            attacks=attack,
            budget=budget,
            prompts=prompts,
            rounds=rounds,
            seed=seed,
            device=device,
            dtype=dtype,
            ascii_only=ascii_only,
            settings=settings,
        ),
    )
    _cycle_and_report(loaded, json=json, dry_run=dry_run)


def tune(
    config: o.ConfigFile = None,
    out_folder: Annotated[str | None, typer.Option("--out", help="Folder of the run.", show_default=False)] = None,
    rm: o.Rm = None,
    data: o.Data = None,
    reference_lm: o.ReferenceLm = None,
    attack: Annotated[str, typer.Option(help="The attack to tune.")] = "gcg",
    trials: Annotated[
        int | None, typer.Option(help="Settings to try, the default among them.", show_default=False)
    ] = None,
    budget: o.Budget = None,
    prompts: o.Prompts = None,
    seed: o.Seed = None,
    device: o.Device = None,
    dtype: o.DType = None,
    settings: o.Settings = None,
    json: o.Json = False,
    dry_run: o.DryRun = False,
) -> None:
    """Find an attack's best hyper-parameters for an RM (Optuna); writes tuned.toml, a campaign file with them."""
    loaded = o.existing_or(
        config,
        o.given_values(
            out=out_folder,
            stage="tune",
            rm=rm,
            data=data,
            reference_lm=reference_lm,
            budget=budget,
            prompts=prompts,
            seed=seed,
            device=device,
            dtype=dtype,
            settings=[*(settings or []), *([f"tune.trials={trials}"] if trials is not None else [])],
        ),
    )
    if dry_run:
        return _dry_run(loaded, ("tune",), json=json)
    campaign = _open(loaded)
    from miner.campaigns.tuning import tune as tune_attack

    found = tune_attack(campaign, attack)
    if json:
        print_json(found)
    else:
        out().print(tuning_table(found))
        out().print(f"campaign file: {campaign.folder / 'tuned.toml'}", markup=False)
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
        shown = len(choose(stored.findings, max_findings))
        return _tell(json, {"rounds": len(stored.rounds), "findings": len(stored.findings), "shown": shown},
                     f"{run / 'report.html'}: {len(stored.rounds)} rounds, {shown} of {len(stored.findings)} findings"
                     )  # fmt: skip
    config = stored_config(run)
    if attribution:
        campaign = _open(config)
        files = _write_report(campaign.folder, running(), max_findings=max_findings, load=campaign.open_rm)
    else:  # from what the run has stored: neither its data nor its RM has to be here
        files = _write_report(run, running(), max_findings=max_findings, load=None)
    return _tell(json, files, f"report: {files.html}")


def _cycle_and_report(config: CampaignConfig, *, json: bool, dry_run: bool) -> None:
    if dry_run:
        return _dry_run(config, ("evaluate", *("mine", "patch", "evaluate") * config.rounds), json=json)
    campaign = _open(config)
    campaign.cycle()
    return _summarise(campaign, json=json, report=True)


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


def _open(config: CampaignConfig) -> Campaign:
    from miner.campaigns.campaign import Campaign

    return Campaign(config, running())


def _summarise(campaign: Campaign, *, json: bool, report: bool = False) -> None:
    from miner.reporting.summarise import summarise

    summary = summarise(campaign, command=shlex.join(["rmminer", *sys.argv[1:]]))
    summary.write(campaign.folder)
    files = (
        _write_report(campaign.folder, campaign.observer, max_findings=200, load=campaign.open_rm) if report else None
    )
    if json:
        print_json(summary)
        return
    out().print(summary_table(summary))
    if files is not None:
        out().print(f"report: {files.html}", markup=False)


def _write_report(
    folder: Path, observer: Observer, *, max_findings: int, load: Callable[[str], RewardModel] | None
) -> Any:
    from miner.reporting import Attribution, write_report

    with observer.stage("writing the report") as advance:
        files = write_report(
            folder,
            max_findings=max_findings,
            attribution=None if load is None else Attribution(load=load),
            progress=advance,
        )
    for line in files.left_out:
        observer.note(line)
    return files


def stored_config(run: Path) -> CampaignConfig:
    from miner.config.campaign import read_config
    from miner.errors import ConfigError

    path = run / "campaign.toml"
    if not path.exists():
        raise ConfigError(f"{run} is not a run's folder: it has no campaign.toml. Make one: rmminer cycle --out {run}")
    return read_config(path, {"out": str(run)})


def _dry_run(config: CampaignConfig, stages: tuple[str, ...], *, json: bool) -> None:
    from miner.campaigns.estimate import estimate

    with running().stage("timing the reward model"):
        found = estimate(config, stages)
    if json:
        print_json(found)
    else:
        out().print(dry_run_table(found))


def _tell(json: bool, value: object, line: str) -> None:
    if json:
        print_json(value)
    else:
        out().print(line, markup=False)
