"""``rmminer gap``: what the RM is still good for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from miner.cli import options as o
from miner.cli.output import command_line, out, print_json
from miner.cli.watcher import running

if TYPE_CHECKING:
    from corpus.records import Prompt
    from miner.measuring.diversity.sampling import SamplePlan
    from miner.measuring.gap.opening import NamedGap


@dataclass(frozen=True, kw_only=True)
class GapOptions:
    """The options of ``rmminer gap``."""

    rm: o.Rm = None
    policy: Annotated[
        str | None, typer.Option(help="Policy: folder, hub id, or 'docs'; docs world and a run bring their own.")
    ] = None
    data: Annotated[str | None, typer.Option(help="Preference data, or 'docs'. Left out: the run's, else 'docs'.")] = (
        None
    )
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            help="A run's folder of overopt (OUT/overopt/rl-…), or JSONL of label, policy, sqrt_kl: the gap of each.",
            show_default=False,
        ),
    ] = None
    at_most: o.AtMost = None
    folder: Annotated[
        str,
        typer.Option(
            "--out",
            help="Folder of the results; samples there are used again. A campaign's report shows its RUN/gap.",
        ),
    ] = "runs/gap"
    gold_rm: o.GoldRm = None
    reference_lm: o.ReferenceLm = None
    facts: Annotated[
        Path | None,
        typer.Option(help="JSONL of prompt, true, false, kind, proof. Docs world makes its own.", show_default=False),
    ] = None
    prompts: Annotated[int, typer.Option(help="Prompts to ask (0: facts alone).", min=0)] = 64
    samples: Annotated[int, typer.Option(help="Samples of each prompt to choose from.", min=2)] = 64
    max_new_tokens: o.MaxNewTokens = None
    temperature: Annotated[float, typer.Option(help="Of the samples.")] = 1.0
    seed: o.Seed = None
    device: o.Device = None
    dtype: o.DType = None
    settings: o.Settings = None

    def named(self) -> NamedGap:
        """Raises: ConfigError: an option that does not fit."""
        from miner.measuring.diversity.sampling import SamplePlan
        from miner.measuring.gap.opening import NamedGap
        from miner.measuring.measurement_inputs import checkpoint_config, tokens_of

        options = o.CampaignOptions(
            rm=self.rm, data=self.data, policy=self.policy, reference_lm=self.reference_lm, seed=self.seed,
            device=self.device, dtype=self.dtype, settings=self.settings,
        )  # fmt: skip
        given = o.overrides_from_options(options)
        config = checkpoint_config(self.checkpoints, given)
        plan = SamplePlan(
            n=self.samples,
            max_new_tokens=tokens_of(self.checkpoints, self.max_new_tokens),
            temperature=self.temperature,
            seed=config.seed,
        )
        return NamedGap(
            config=config,
            plan=plan,
            folder=Path(self.folder),
            policy=self.policy,
            checkpoints=self.checkpoints,
            at_most=self.at_most,
            gold_rm=self.gold_rm,
            facts=self.facts,
            n_prompts=self.prompts,
            rm_named="rm.source" in given,
        )


def gap(options: GapOptions, json: o.Json = False, dry_run: o.DryRun = False) -> None:
    """Measure what the RM's pick among a policy's samples is worth in gold, and whether it knows facts from swaps."""
    from miner.cli.diversity_tables import show_report
    from miner.cli.gap_tables import gap_table
    from miner.measuring.gap.opening import run_gap
    from miner.reporting.sections import GAP

    named, watcher = options.named(), running()
    if dry_run:
        return _print_plan(named.n_policies, named.asked(watcher), named.plan, json=json)
    report = run_gap(named, observer=watcher, command=command_line())
    title = f"What {report.settings['rm']} is still good for"
    show_report(report, GAP, title, named.folder, table=gap_table, json=json)
    return None


def _print_plan(n_policies: int, asked: tuple[Prompt, ...], plan: SamplePlan, *, json: bool) -> None:
    texts = n_policies * len(asked) * plan.n
    if json:
        found = {"policies": n_policies, "prompts": len(asked), "samples": texts, "tokens": texts * plan.max_new_tokens}
        print_json(found)
    else:
        many = "" if n_policies == 1 else f" from each of {n_policies} policies"
        out().print(
            f"{texts} samples on {len(asked)} prompts{many}, each scored once by the RM, at most "
            f"{plan.max_new_tokens} tokens",
            markup=False,
        )
