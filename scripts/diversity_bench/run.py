"""Diversity before and after optimisation, the gap curve and the hallucination table on docs world."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from miner.checkpoints.identity import cache_folder
from miner.cli.watcher import Watcher
from miner.config.campaign import CampaignConfig, DataSection
from miner.files import replace_text
from miner.judging.gold import ContrastGold
from miner.measuring.diversity import DiversityReport, MeasuredSource, Settings, load_embedding, measure_diversity
from miner.measuring.gap import Facts, docs_facts
from miner.measuring.gap.run import GapRequest, measure_gap
from miner.measuring.measurement_inputs import docs_policy, docs_rm, embedding_folder
from miner.reporting.measurements import write_measurement
from miner.reporting.sections import DIVERSITY, GAP
from miner.rewards import load_reward_model
from miner.worlds.docs.world import DocsWorld
from miner.worlds.opening import docs_pairs
from miner.worlds.world import spread
from scripts.diversity_bench.rejection import rejection_rounds


@dataclass(frozen=True, kw_only=True)
class Sizes:
    train_prompts: int
    best_of: int
    rounds: int
    steps: int
    prompts: int
    samples: int
    pool: int
    tokens: int = 32


FULL = Sizes(train_prompts=64, best_of=16, rounds=3, steps=40, prompts=40, samples=10, pool=64)
QUICK = Sizes(train_prompts=16, best_of=4, rounds=1, steps=10, prompts=16, samples=4, pool=8)


def run(sizes: Sizes, *, out: Path, results: Path, seed: int, quick: bool) -> None:
    """Everything, into ``out``; the numbers into the file ``results``, the plots beside it unless ``quick``."""
    watcher = Watcher()
    config = CampaignConfig(out=str(out), seed=seed, data=DataSection(world="docs", quick=quick))
    docs = DocsWorld.load(cache_folder() / "docsworld")
    rm = load_reward_model(docs_rm(config, watcher), device="cpu")
    before = docs_policy(config, watcher)
    trained = rejection_rounds(
        before, rm, spread(docs.prompts("train"), sizes.train_prompts, seed=seed), n=sizes.best_of,
        rounds=sizes.rounds, steps=sizes.steps, max_new_tokens=sizes.tokens, seed=seed, out=out / "policies",
        say=watcher.note,
    )  # fmt: skip
    asked = spread(docs.prompts("held_out"), sizes.prompts, seed=seed)
    encoder = embedding_folder(None)
    command = "scripts/bench_diversity" + (" --quick" if quick else "")
    diversity = measure_diversity(
        [
            MeasuredSource(label="policy", policy=before),
            *(MeasuredSource(label=one.name, policy=str(one)) for one in trained),
        ],
        asked,
        embedding=load_embedding(encoder.folder, device="cpu", name=encoder.name),
        settings=Settings(samples=sizes.samples, max_new_tokens=sizes.tokens, seed=seed, device="cpu"),
        gold=ContrastGold.of(docs.prompts("held_out")),
        folder=out,
        observer=watcher,
        command=command,
    )
    write_measurement(out, DIVERSITY, "Diversity on docs world", diversity)
    diversity.write(out)
    gaps: dict[str, Any] = {}
    for name, policy in (("before", before), ("after", str(trained[-1]))):
        facts = docs_facts(docs_pairs("held_out", "calibration"), seed=seed) if name == "before" else None
        request = GapRequest(
            policies=[MeasuredSource(label=name, policy=policy)],
            prompts=asked,
            plan=Settings(samples=sizes.pool, max_new_tokens=sizes.tokens, seed=seed).plan(),
            gold=ContrastGold.of(docs.prompts("held_out")),
            facts=facts or Facts(facts=(), abstained={}),
            calibration=docs.prompts("calibration"),
            quantile=0.95,
            folder=out / f"gap-{name}",
            device="cpu",
        )
        gap = measure_gap(rm, request, observer=watcher, command=command)
        write_measurement(out / f"gap-{name}", GAP, f"The gap {name}", gap)
        gap.write(out / f"gap-{name}")
        gaps[name] = asdict(gap)
        _store(results, sizes, docs.data_hash, diversity, gaps)
        watcher.note(f"written: {results}, the gap {name} included")
    if not quick:
        (results.parent / "plots").mkdir(exist_ok=True)
        for path in (*(out / "plots").glob("*.png"), *(out / "gap-before" / "plots").glob("*.png")):
            shutil.copyfile(path, results.parent / "plots" / path.name)


def _store(results: Path, sizes: Sizes, data_hash: str, diversity: DiversityReport, gaps: dict[str, Any]) -> None:
    """What was measured so far; places on this machine and the points of the map are left out."""
    sides = [{**asdict(side), "points": None, "source": side.label} for side in diversity.sides]
    stored = {
        "sizes": asdict(sizes),
        "data_hash": data_hash,
        "diversity": {**asdict(diversity), "sides": sides},
        "gap": gaps,
    }
    replace_text(results, json.dumps(stored, indent=1, allow_nan=False) + "\n")
