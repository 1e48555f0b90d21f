"""``rmminer overopt``: when does a policy start to game this RM, and what does it cost?"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from miner.cli import options as o
from miner.cli.output import command_line, out, print_json
from miner.cli.overopt_tables import print_study
from miner.cli.watcher import running

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miner.config.campaign import CampaignConfig
    from miner.measuring.overopt.results import StudySummary
    from miner.measuring.overopt.rows import SampleRow
    from miner.searching.shards import Shard

Method = Literal["rl", "bon", "both"]
Against = Annotated[
    Path | None,
    typer.Option(
        help="Another study's folder (RUN/overopt) to compare with; a patched RM's is compared with the first's "
        "unasked.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOptions:
    """What the command line says of a study: the policy, and keys of the table [overopt]; None is not mentioned."""

    policy: Annotated[
        str | None, typer.Option(help="Policy to optimise: any causal LM, folder or hub id.", show_default=False)
    ] = None
    gold: Annotated[
        str | None,
        typer.Option(help="Gold: an independent RM, several by commas, 'docs' or 'none'.", show_default=False),
    ] = None
    second: Annotated[
        str | None,
        typer.Option(help="Independent RM to measure beside it: as --gold.", show_default=False),
    ] = None
    method: Annotated[Method | None, typer.Option(help="rl, bon or both.", show_default=False)] = None
    steps: Annotated[int | None, typer.Option(help="RL steps.", show_default=False)] = None
    kl: Annotated[
        list[float] | None, typer.Option(help="KL weight, per nat; repeat for more runs.", show_default=False)
    ] = None
    seeds: Annotated[int | None, typer.Option(help="Runs per KL weight.", show_default=False)] = None
    mine: Annotated[
        int | None,
        typer.Option(
            help="Train prompts to turn every checkpoint on as attack 'rl'; finds enter the corpus.",
            min=0,
            show_default=False,
        ),
    ] = None

    def settings(self) -> list[str]:
        """Those of the table, as ``--set`` spells them."""
        given = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "policy"}
        return [f"overopt.{name}={_toml(value)}" for name, value in given.items() if value not in (None, [])]


def overopt(
    campaign: Annotated[
        o.CampaignOptions,
        o.Only("config", "out", "rm", "data", "reference_lm", "seed", "device", "dtype", "shard", "settings"),
    ],
    study: StudyOptions,
    against: Against = None,
    round_number: o.Round = 0,
    json: o.Json = False,
    dry_run: o.DryRun = False,
) -> None:
    """Optimise a policy against an RM by RL and by best-of-n; name the step at which it starts to game."""
    given = replace(campaign, policy=study.policy, settings=[*study.settings(), *(campaign.settings or [])])
    config = o.resume_or_load_config(given)
    if dry_run:
        return _print_plan(config, json=json)
    from miner.measuring.overopt.opening import run_study

    shard = _shard_of(campaign.shard, config)
    found = run_study(config, round_number, observer=running(), live=_live, against=against, shard=shard)
    _show(found, json=json)
    return None


def overopt_people(
    study: Annotated[Path, typer.Argument(help="Folder of stored runs: RUN/overopt.")],
    against: Against = None,
    json: o.Json = False,
) -> None:
    """Show stored runs of overopt with people's scores as gold: nothing is loaded or trained."""
    from miner.measuring.overopt.people import read_scores_of
    from miner.measuring.overopt.summary import summarise_study

    with running().stage("looking for the onset in every run"):
        summary = summarise_study(study, people=read_scores_of(study, *([against] if against else [])), against=against)
    _show(summary, json=json)


def _shard_of(text: str | None, config: CampaignConfig) -> Shard:
    """What is shared is the mining with checkpoints: without it, a job array's processes are studies of their own.

    Raises:
        ConfigError: a shard of nothing; and as ``shard_of``.
    """
    from miner.errors import ConfigError
    from miner.searching.shards import WHOLE, shard_of

    if config.overopt.mine:
        return shard_of(text)
    if text is not None:
        raise ConfigError(
            f"--shard {text}: what is shared is the mining with checkpoints. Say on how many prompts: --mine 32"
        )
    return WHOLE


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _show(summary: StudySummary, *, json: bool) -> None:
    from miner.reporting.overopt_page import write_overopt_report

    with running().stage("writing the report"):
        page = write_overopt_report(summary, command=command_line())
    print_study(summary, page, json=json)


def _live(name: str, step: int, of: int, rows: Sequence[SampleRow]) -> None:
    """One line a measurement: reward, gold and KL as they come."""
    from miner.measuring.overopt.curves import Curves

    curves = Curves(rows)
    shown = {key: float(curves.mean(key)[0]) for key in ("proxy", "gold", "kl", "entropy")}
    known = "  ".join(f"{key} {value:.2f}" for key, value in shown.items() if value == value)
    running().note(f"{name}  step {step}/{of}  {known}")


def _print_plan(config: CampaignConfig, *, json: bool) -> None:
    from miner.measuring.overopt.settings import planned_work

    plan = planned_work(config.overopt)
    if json:
        print_json(plan)
        return
    section, mined = config.overopt, ""
    if section.mine:
        n_checkpoints = plan["mined"] // (section.mine * section.mine_samples)
        mined = f"; {plan['mined']:,} queries of {n_checkpoints} checkpoints as attack rl"
    out().print(
        f"{plan['runs']} RL runs of {plan['steps']} steps: {plan['answers']:,} answers to train on, "
        f"{plan['measured']:,} measured; {plan['pooled']:,} samples for best-of-n{mined}",
        markup=False,
    )
