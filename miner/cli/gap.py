"""``rmminer gap``: what the RM is still good for."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from miner.cli import options as o
from miner.cli.output import Watcher, out, print_json
from miner.cli.worlds import docs_pairs, docs_policy, docs_rm, gold_of, prompts_of

if TYPE_CHECKING:
    from corpus.records import Prompt
    from miner.config import CampaignConfig
    from miner.diversity.sampling import SamplePlan
    from miner.gap import Facts
    from miner.language_models import LanguageModel
    from miner.rewards.base import RewardModel


def gap(
    rm: o.Rm = None,
    policy: Annotated[
        str | None, typer.Option(help="Policy: folder, hub id, or 'docs'; docs world brings its own.")
    ] = None,
    data: Annotated[str, typer.Option(help="Preference data, or 'docs'.")] = "docs",
    folder: Annotated[
        str,
        typer.Option(
            "--out",
            help="Folder of the results; samples there are used again. A campaign's report shows its RUN/gap.",
        ),
    ] = "runs/gap",
    gold_rm: Annotated[
        str | None, typer.Option(help="RM whose reward is gold; overlap with the references unless named.")
    ] = None,
    facts: Annotated[
        Path | None,
        typer.Option(help="JSONL of prompt, true, false, kind, proof. Docs world makes its own.", show_default=False),
    ] = None,
    prompts: Annotated[int, typer.Option(help="Prompts to ask (0: facts alone).", min=0)] = 64,
    samples: Annotated[int, typer.Option(help="Samples of each prompt to choose from.", min=2)] = 64,
    max_new_tokens: Annotated[int, typer.Option(help="Longest response, in tokens.", min=1)] = 48,
    temperature: Annotated[float, typer.Option(help="Of the samples.")] = 1.0,
    seed: o.Seed = None,
    device: o.Device = None,
    dtype: o.DType = None,
    settings: o.Settings = None,
    json: o.Json = False,
    dry_run: o.DryRun = False,
) -> None:
    """Measure what the RM's pick among a policy's samples is worth in gold, and whether it knows facts from swaps."""
    from miner.diversity.sampling import SamplePlan
    from miner.gap import read_facts
    from miner.gap.run import measure_gap
    from miner.report.gap_figures import FIGURES

    watcher = Watcher(quiet=json)
    loaded = o.load_config(
        None, o.given_values(stage="mine", rm=rm, data=data, seed=seed, device=device, dtype=dtype, settings=settings)
    )
    plan = SamplePlan(n=samples, max_new_tokens=max_new_tokens, temperature=temperature, seed=loaded.seed)
    asked = prompts_of(loaded, prompts) if prompts else ()
    stated = read_facts(facts) if facts else None
    if dry_run:
        return _dry_run(asked, plan, json=json)
    report = measure_gap(
        _reward_model(loaded, watcher),
        policy=_policy(policy, loaded, watcher) if asked else None,
        prompts=asked,
        plan=plan,
        gold=gold_of(gold_rm, asked, loaded),
        facts=stated or _own_facts(loaded, watcher),
        calibration=prompts_of(loaded, None, "calibration"),
        quantile=loaded.criteria.quantile,
        folder=Path(folder),
        observer=watcher,
        command=shlex.join(["rmminer", *sys.argv[1:]]),
    )
    report.write(Path(folder))
    from miner.cli.measured import gap_table, say_where_shown
    from miner.report.measurements import draw_plots, write_measurement

    title = f"What {report.settings['rm']} is still good for"
    page = write_measurement(Path(folder), "gap", title, report, draw_plots(report, FIGURES))
    if json:
        print_json(report)
    else:
        out().print(gap_table(report))
        out().print(f"report: {page}", markup=False)
        say_where_shown(page)
    return None


def _reward_model(config: CampaignConfig, watcher: Watcher) -> RewardModel:
    from miner.rewards.opening import open_reward_model
    from miner.world import read_prompts

    prompts = read_prompts(config) if config.data.world is None else ()
    references = {p.conversation: p.reference for p in prompts if p.reference is not None}
    return open_reward_model(config.rm, references, source=config.rm.source or docs_rm(config, watcher))


def _policy(source: str | None, config: CampaignConfig, watcher: Watcher) -> LanguageModel:
    from miner.errors import ConfigError
    from miner.language_models import load_language_model

    if source is None and config.data.world != "docs":
        raise ConfigError("no policy to choose from. Give one: --policy FOLDER; or --prompts 0 for facts alone")
    built_in = source in (None, "docs")
    return load_language_model(docs_policy(config, watcher) if built_in else str(source), device=config.rm.device)


def _own_facts(config: CampaignConfig, watcher: Watcher) -> Facts:
    """Docs world's facts on prompts that its RM has not seen; other data proves none."""
    from miner.gap import Facts, docs_facts

    if config.data.world != "docs":
        return Facts(facts=(), abstained={})
    with watcher.stage("proving facts") as advance:
        found = docs_facts(docs_pairs("held_out", "calibration"), seed=config.seed)
        advance(1, 1)
    return found


def _dry_run(asked: tuple[Prompt, ...], plan: SamplePlan, *, json: bool) -> None:
    texts = len(asked) * plan.n
    if json:
        print_json({"prompts": len(asked), "samples": texts, "tokens": texts * plan.max_new_tokens})
    else:
        line = (
            f"{texts} samples on {len(asked)} prompts, each scored once by the RM, at most {plan.max_new_tokens} tokens"
        )
        out().print(line, markup=False)
