"""``rmminer gap``: what the RM is still good for."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from miner.cli import options as o
from miner.cli.output import out, print_json
from miner.cli.watcher import running
from miner.measuring.measurement_inputs import (
    checkpoint_config,
    checkpoint_sources,
    docs_policy,
    docs_rm,
    gold_of,
    n_checkpoints,
    prompts_of,
    run_rm,
    tokens_of,
)

if TYPE_CHECKING:
    from corpus.records import Prompt
    from miner.config.campaign import CampaignConfig
    from miner.measuring.diversity import Source
    from miner.measuring.diversity.sampling import SamplePlan
    from miner.measuring.gap import Facts
    from miner.measuring.overopt.log import RunInfo
    from miner.progress import Observer
    from miner.rewards.base import RewardModel


def gap(
    rm: o.Rm = None,
    policy: Annotated[
        str | None, typer.Option(help="Policy: folder, hub id, or 'docs'; docs world and a run bring their own.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Preference data, or 'docs'. Left out: the run's, else 'docs'.")
    ] = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            help="A run's folder of overopt (OUT/overopt/rl-…), or JSONL of label, policy, sqrt_kl: the gap of each.",
            show_default=False,
        ),
    ] = None,
    at_most: o.AtMost = None,
    folder: Annotated[
        str,
        typer.Option(
            "--out",
            help="Folder of the results; samples there are used again. A campaign's report shows its RUN/gap.",
        ),
    ] = "runs/gap",
    gold_rm: o.GoldRm = None,
    reference_lm: o.ReferenceLm = None,
    facts: Annotated[
        Path | None,
        typer.Option(help="JSONL of prompt, true, false, kind, proof. Docs world makes its own.", show_default=False),
    ] = None,
    prompts: Annotated[int, typer.Option(help="Prompts to ask (0: facts alone).", min=0)] = 64,
    samples: Annotated[int, typer.Option(help="Samples of each prompt to choose from.", min=2)] = 64,
    max_new_tokens: o.MaxNewTokens = None,
    temperature: Annotated[float, typer.Option(help="Of the samples.")] = 1.0,
    seed: o.Seed = None,
    device: o.Device = None,
    dtype: o.DType = None,
    settings: o.Settings = None,
    json: o.Json = False,
    dry_run: o.DryRun = False,
) -> None:
    """Measure what the RM's pick among a policy's samples is worth in gold, and whether it knows facts from swaps."""
    from miner.errors import ConfigError
    from miner.measuring.diversity.sampling import SamplePlan
    from miner.measuring.gap import read_facts
    from miner.measuring.gap.run import measure_gap
    from miner.measuring.gap.series import require_choice

    watcher = running()
    given = o.overrides_from_options(o.CampaignOptions(
        rm=rm, data=data, policy=policy, reference_lm=reference_lm, seed=seed, device=device, dtype=dtype,
        settings=settings,
    ))  # fmt: skip
    loaded = checkpoint_config(checkpoints, given)
    if checkpoints is not None and not prompts:
        raise ConfigError("checkpoints are compared on prompts; got --prompts 0. Give 5 or more, or no --checkpoints")
    tokens = tokens_of(checkpoints, max_new_tokens)
    plan = SamplePlan(n=samples, max_new_tokens=tokens, temperature=temperature, seed=loaded.seed)
    asked = prompts_of(loaded, prompts, observer=watcher) if prompts else ()
    stated = read_facts(facts) if facts else None
    if dry_run:
        named = 1 if checkpoints is None else n_checkpoints(checkpoints, policy)
        return _dry_run(min(named, at_most or named), asked, plan, json=json)
    if not asked:
        policies: list[Source] = []
    elif checkpoints is None:
        policies = [_policy(policy, loaded, watcher)]
    else:
        policies = _checkpoints(checkpoints, at_most, policy, loaded, watcher, plan)
    if asked:
        require_choice(policies, asked, plan)  # before anything is trained for gold
    report = measure_gap(
        _reward_model(loaded, None if "rm.source" in given else run_rm(checkpoints), watcher),
        policies=policies,
        prompts=asked,
        plan=plan,
        gold=gold_of(gold_rm, asked, loaded, watcher),
        facts=stated or _own_facts(loaded, watcher),
        calibration=prompts_of(loaded, None, "calibration", observer=watcher),
        quantile=loaded.criteria.quantile,
        folder=Path(folder),
        device=loaded.rm.device,
        observer=watcher,
        command=shlex.join(["rmminer", *sys.argv[1:]]),
        run=_run(checkpoints),
    )
    report.write(Path(folder))
    from miner.cli.gap_tables import gap_table
    from miner.cli.measured import say_where_shown
    from miner.reporting.measurements import write_measurement
    from miner.reporting.sections import GAP

    title = f"What {report.settings['rm']} is still good for"
    with watcher.stage("writing the report"):
        page = write_measurement(Path(folder), GAP, title, report)
    if json:
        print_json(report)
    else:
        out().print(gap_table(report))
        out().print(f"report: {page}", markup=False)
        say_where_shown(page)
    return None


def _reward_model(config: CampaignConfig, kept: str | None, watcher: Observer) -> RewardModel:
    """The RM that the config describes; ``kept``: the folder of the one to take instead of its source."""
    from miner.rewards.opening import open_reward_model
    from miner.worlds.opening import read_prompts

    prompts = read_prompts(config, watcher) if config.data.world is None else ()
    references = {p.conversation: p.reference for p in prompts if p.reference is not None}
    source = kept or config.rm.source or docs_rm(config, watcher)
    with watcher.stage("loading the reward model, hashing its weights"):
        return open_reward_model(config.rm, references, source=source)


def _policy(source: str | None, config: CampaignConfig, watcher: Observer) -> Source:
    from miner.errors import ConfigError
    from miner.measuring.diversity import Source

    if source is None and config.data.world != "docs":
        raise ConfigError("no policy to choose from. Give one: --policy FOLDER; or --prompts 0 for facts alone")
    if source in (None, "docs"):
        return Source(label="docs policy", policy=docs_policy(config, watcher))
    return Source(label=Path(str(source)).name, policy=source)


def _checkpoints(
    place: Path, at_most: int | None, policy: str | None, config: CampaignConfig, watcher: Observer, plan: SamplePlan
) -> list[Source]:
    """The checkpoints at a place, a policy named beside a list in front of it."""
    from miner.measuring.diversity.checkpoints import evenly

    found = checkpoint_sources(place, config, watcher, samples=plan.n, seed=plan.seed)
    if policy is not None and not place.is_dir():
        found = [_policy(policy, config, watcher), *found]
    return evenly(found, at_most)


def _run(place: Path | None) -> RunInfo | None:
    if place is None or not place.is_dir():
        return None
    from miner.measuring.diversity.run_checkpoints import run_info

    return run_info(place)


def _own_facts(config: CampaignConfig, watcher: Observer) -> Facts:
    """Docs world's facts on prompts that its RM has not seen; other data proves none."""
    from miner.measuring.gap import Facts, docs_facts

    if config.data.world != "docs":
        return Facts(facts=(), abstained={})
    with watcher.stage("proving facts"):
        from miner.worlds.opening import docs_pairs

        return docs_facts(docs_pairs("held_out", "calibration"), seed=config.seed)


def _dry_run(n_policies: int, asked: tuple[Prompt, ...], plan: SamplePlan, *, json: bool) -> None:
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
