"""What bench_policy measures, each part a function of the bench."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from miner.campaigns.evaluation import clean_outcomes
from miner.errors import ConfigError
from miner.judging.gold import ContrastGold, JudgedGold
from miner.measuring.diversity.checkpoints import evenly
from miner.measuring.diversity.run_checkpoints import read_run
from miner.measuring.diversity.sampling import SamplePlan
from miner.measuring.gap.series import measure_series
from miner.measuring.overopt.comparison import compare_studies
from miner.measuring.overopt.log import RunLog, read_samples
from miner.measuring.overopt.rl import checkpoints_of
from miner.measuring.overopt.summary import run_summary, summarise_study
from miner.rewards.base import Pair
from miner.statistics import rate
from miner.worlds.world import spread
from scripts.policy_bench.collapse import collapse, reached
from scripts.policy_bench.floors import floor
from scripts.policy_bench.onsets import onset
from scripts.policy_bench.planted import planted
from scripts.policy_bench.runs import CHECKPOINTED, MIXES, Bench, specs, stored
from scripts.policy_bench.speed import speed

__all__ = [
    "best_of_n",
    "collapse",
    "compared",
    "curves_shown",
    "floor",
    "gap",
    "onset",
    "planted",
    "reached",
    "runs",
    "second_rm",
    "speed",
]


def runs(bench: Bench, seconds: float, shard: tuple[int, int]) -> dict[str, Any]:
    """Make the stored runs of one shard, until ``seconds`` have passed; then what all that are there show by RM."""
    started = time.monotonic()
    for spec in specs(quick=bench.quick)[shard[0] :: shard[1]]:
        if time.monotonic() - started > seconds:
            break
        bench.make(spec, keep_checkpoints=spec.target in CHECKPOINTED)
    return curves_shown(bench.out, quick=bench.quick)


def curves_shown(folder: Path, *, quick: bool) -> dict[str, Any]:
    """By RM and KL weight: verdicts of gold, onsets, laws; proxy and gold at start, at gold's best and at the end."""
    groups: dict[str, list[Any]] = {}
    for spec, _ in stored(folder, quick=quick):
        run = run_summary(RunLog(folder / spec.name).info(), read_samples(folder / spec.name))
        first, last = run.points[0], run.points[-1]
        best = next((p for p in run.points if p.step == run.best_step), first)
        groups.setdefault(f"{spec.target}, KL weight {spec.kl:g}", []).append(
            {
                "seed": spec.seed,
                "games": run.with_gold.games,
                "onset": asdict(run.with_gold.onset) if run.with_gold.onset else None,
                "gold": [first.gold, best.gold, last.gold],
                "proxy": [first.proxy, best.proxy, last.proxy],
                "second": [first.second, best.second, last.second],
                "best_step": run.best_step,
                "kl": last.kl,
                "repetition": [first.repetition, last.repetition],
                "nonsense": [first.nonsense, last.nonsense],
                "law": asdict(run.fit) if run.fit else None,
            }
        )
    return groups


def compared(folder: Path) -> dict[str, Any]:
    """Runs against the patched RM, and against mixes of RMs, each beside the same policy's run against docs world's."""
    found: dict[str, Any] = {}
    for other in ("patched", *MIXES):
        try:
            found[other] = asdict(compare_studies(folder / "encoder", folder / other))
        except ConfigError as error:
            found[other] = {"not compared": str(error)}
    return found


def second_rm(bench: Bench) -> dict[str, Any]:
    """Clean accuracy of the second RM, and of the first, on held-out pairs."""
    prompts = bench.campaign.world.by_split["held_out"]
    outcomes = [
        (bool(good > bad), prompt.group_key)
        for prompt in prompts
        for good in bench.lexical.exact_rewards([Pair(prompt.conversation, prompt.reference or "")])
        for bad in bench.lexical.exact_rewards([Pair(prompt.conversation, text) for text in prompt.rejected])
    ]
    lexical = rate([won for won, _ in outcomes], groups=[group for _, group in outcomes])
    first = clean_outcomes(bench.campaign.models.rm(0), prompts)
    return {"lexical": asdict(lexical), "encoder": asdict(first.accuracy()) if first else None}


def best_of_n(bench: Bench) -> dict[str, Any]:
    """The curve over n, from one pool."""
    study = bench.study("encoder")
    study.pools(n=128 if bench.quick else 1024, prompts=8)
    pool = summarise_study(study.folder).pool
    return asdict(pool) if pool else {}


def gap(bench: Bench) -> dict[str, Any]:
    """What docs world's RM's pick of 64 is worth along the first run to the collapse, near-gold told the checks'
    verdicts."""
    study = bench.study("collapse")
    runs = [path.parent for path in sorted(study.folder.glob("*/run.json")) if checkpoints_of(path.parent)]
    if not runs:
        return {}
    found = measure_series(
        bench.campaign.models.rm(0),
        evenly(read_run(runs[0], start=study.policy_source), 3 if bench.quick else 5),
        spread(bench.campaign.world.by_split["held_out"], 12 if bench.quick else 40, seed=1),
        SamplePlan(n=16 if bench.quick else 64, max_new_tokens=study.settings.max_new_tokens),
        JudgedGold(
            gold=ContrastGold.of(bench.campaign.world.by_split["held_out"]), certifier=bench.campaign.models.certifier
        ),
        folder=bench.out / "gap",
        device="cpu",
        observer=bench.observer,
    )
    kept = [
        asdict(one) | {"curve": [asdict(point) for point in one.curve[:: len(one.curve) - 1]]}
        for one in found.selections
    ]
    return {"run": runs[0].name, "checkpoints": kept, "notes": found.notes}
