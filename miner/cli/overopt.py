"""``rmminer overopt``: when does a policy start to game this RM, and what does it cost?"""

from __future__ import annotations

import math
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from miner.cli import options as o
from miner.cli.output import out, print_json
from miner.cli.overopt_tables import say_study
from miner.cli.watcher import running

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miner.config.campaign import CampaignConfig
    from miner.measuring.overopt.measuring import SampleRow

Method = Literal["rl", "bon", "both"]


def overopt(
    config: o.ConfigFile = None,
    out_folder: Annotated[str | None, typer.Option("--out", help="Folder of the run.", show_default=False)] = None,
    rm: o.Rm = None,
    policy: Annotated[
        str | None, typer.Option(help="Policy to optimise: any causal LM, folder or hub id.", show_default=False)
    ] = None,
    data: o.Data = None,
    gold: Annotated[
        str | None,
        typer.Option(help="Gold: an independent RM, several by commas, 'docs' or 'none'.", show_default=False),
    ] = None,
    second: Annotated[
        str | None,
        typer.Option(help="Independent RM for the onset without gold: as --gold.", show_default=False),
    ] = None,
    reference_lm: o.ReferenceLm = None,
    method: Annotated[Method | None, typer.Option(help="rl, bon or both.", show_default=False)] = None,
    steps: Annotated[int | None, typer.Option(help="RL steps.", show_default=False)] = None,
    kl: Annotated[
        list[float] | None, typer.Option(help="KL weight, per nat; repeat for more runs.", show_default=False)
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Runs per KL weight.", show_default=False)] = None,
    mine: Annotated[
        int | None,
        typer.Option(
            help="Train prompts to turn every checkpoint on as attack 'rl'; finds enter the corpus.",
            min=0,
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            help="Another study's folder (RUN/overopt) to compare with; a patched RM's is compared with "
            "the first's unasked.",
            show_default=False,
        ),
    ] = None,
    label_sheet: Annotated[
        Path | None,
        typer.Option(help="Write stored answers for people to score, blind: .csv or .jsonl.", show_default=False),
    ] = None,
    label_prompts: Annotated[
        int | None, typer.Option(help="So many prompts in the sheet, whole (left out: all).", show_default=False)
    ] = None,
    labels: Annotated[
        list[Path] | None,
        typer.Option(help="A filled sheet as gold of the stored runs; repeat for more people.", show_default=False),
    ] = None,
    round_number: o.Round = 0,
    seed: o.Seed = None,
    device: o.Device = None,
    dtype: o.DType = None,
    settings: o.Settings = None,
    json: o.Json = False,
    dry_run: o.DryRun = False,
) -> None:
    """Optimise a policy against an RM by RL and by best-of-n; name the step at which it starts to game.

    --label-sheet and --labels work on stored runs: they load no model and train nothing.
    """
    if label_sheet or labels or label_prompts is not None:
        from miner.cli.overopt_labels import Labelling

        return Labelling(
            sheet=label_sheet,
            prompts=label_prompts,
            filled=tuple(labels or ()),
            against=against,
            json=json,
            dry_run=dry_run,
        ).run(config, out_folder, round_number)
    given: dict[str, Any] = {
        "gold": gold,
        "second": second,
        "method": method,
        "steps": steps,
        "seeds": seeds,
        "mine": mine,
    }
    asked = [f"overopt.{key}={_toml(value)}" for key, value in given.items() if value is not None]
    if kl:
        asked.append(f"overopt.kl={list(kl)}")
    loaded = o.resume_or_load_config(
        o.CampaignOptions(
            config=config,
            out=out_folder,
            rm=rm,
            data=data,
            policy=policy,
            reference_lm=reference_lm,
            seed=seed,
            device=device,
            dtype=dtype,
            settings=[*asked, *(settings or [])],
        ),
    )
    if dry_run:
        return _say_plan(loaded, json=json)
    from miner.measuring.overopt.opening import run_study
    from miner.reporting.overopt_page import write_overopt_report

    summary = run_study(loaded, round_number, observer=running(), live=_live, against=against)
    with running().stage("writing the report"):
        page = write_overopt_report(summary, command=shlex.join(["rmminer", *sys.argv[1:]]))
    say_study(summary, page, json=json)
    return None


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _live(name: str, step: int, of: int, rows: Sequence[SampleRow]) -> None:
    """One line a measurement: reward, gold and KL as they come."""
    from miner.measuring.overopt.curves import Curves

    curves = Curves(rows)
    shown = {key: float(curves.mean(key)[0]) for key in ("proxy", "gold", "kl", "entropy")}
    known = "  ".join(f"{key} {value:.2f}" for key, value in shown.items() if value == value)
    running().note(f"{name}  step {step}/{of}  {known}")


def _say_plan(config: CampaignConfig, *, json: bool) -> None:
    section = config.overopt
    n_runs = len(section.kl) * section.seeds if section.method != "bon" else 0
    measurements, checkpoints = (math.ceil(section.steps / n) for n in (section.eval_every, section.checkpoint_every))
    plan = {
        "runs": n_runs,
        "steps": section.steps,
        "answers": n_runs * section.steps * section.prompts_per_step * section.samples_per_prompt,
        "measured": n_runs * (1 + measurements) * section.eval_prompts * section.eval_samples,
        "pooled": section.pool * section.pool_prompts if section.method != "rl" else 0,
        "mined": n_runs * checkpoints * section.mine * section.mine_samples,
    }
    if json:
        print_json(plan)
        return
    mined = f"; {plan['mined']:,} queries of {n_runs * checkpoints} checkpoints as attack rl" if section.mine else ""
    out().print(
        f"{n_runs} RL runs of {section.steps} steps: {plan['answers']:,} answers to train on, {plan['measured']:,} "
        f"measured; {plan['pooled']:,} samples for best-of-n{mined}",
        markup=False,
    )
