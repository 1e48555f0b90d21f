"""The benchmark's parts, each a function of the options to plain JSON values."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from attacks import Attack, known_attacks
from attacks.gcg import GCG
from corpus.records import Attempt, Prompt
from miner.campaigns.attacking import driver_of
from miner.campaigns.campaign import Campaign
from miner.campaigns.reach import reaches
from miner.config.campaign import CampaignConfig
from miner.config.reward_model import DType
from miner.judging.criteria import Criteria, clean_criteria
from miner.rewards import load_reward_model
from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.searching.attempts import RoundContext, plan_attempt
from miner.searching.causes import Causes
from miner.searching.driver import Driver
from miner.searching.oracle import Oracle
from miner.searching.version import search_digest
from miner.statistics import median_cost, paired_difference, rate
from scripts.drills.mining import EverythingIsNonsense
from scripts.search_bench.contest import Job, Trace, ours, ours_pooled, peer, time_to_win
from scripts.search_bench.models import (
    BenchModel,
    NeutralScorer,
    bench_models,
    check_frames,
    docs_campaign,
    questions_of_length,
)
from scripts.search_bench.variants import PLAIN, Variant, damped_layer_norms, momentum

NEVER = float("inf")
WARM_TEXTS = 16
TRIED = ((12, 8), (24, 16), (64, 64), (512, 256))  # width and replacements a position
PROC = Path("/proc/self")
RESPONSE_TOKENS, N_CANDIDATES, TOPK = 32, 512, 256
WIDER = {"width": 64, "k": 16}  # one prompt alone leaves a batch half empty
OUR_K = 24  # per position: 32 positions give at least 512 candidates
PEER_RECIPES = {
    "causal": (("nanogcg", "gcg"),),
    "encoder": (("tropt", "gcg"), ("tropt", "gaslite"), ("tropt", "random")),
}


def open_bench(options: argparse.Namespace) -> tuple[Campaign, dict[str, BenchModel]]:
    campaign = docs_campaign(options.out / "campaign")
    models = bench_models(options.out / "models", campaign)
    for model in models.values():
        check_frames(model)
    return campaign, models


def rates(options: argparse.Namespace) -> dict[str, Any]:
    """Different candidates scored per second of wall time, whole steps, one prompt; ours and peers interleaved."""
    campaign, models = open_bench(options)
    repeats, seconds = (3, 6.0) if options.quick else (5, 8.0)
    both: tuple[DType, ...] = ("float32", "bfloat16")
    settings = [
        ("causal, 64-token prompt", models["random causal"], 64, ("nanogcg", "gcg"), both),
        ("causal, 256-token prompt", models["random causal"], 256, ("nanogcg", "gcg"), both[:1]),
        ("encoder, 64-token prompt", models["docs encoder"], 64, ("tropt", "gcg"), both[:1]),
    ]
    found = {}
    for title, model, n_tokens, (name, recipe), peer_dtypes in settings:
        kept = _cache(options, "rates", f"{title}-{repeats}-{seconds:g}").with_suffix(".json")
        rows: dict[str, list[float]] = json.loads(kept.read_text()) if kept.exists() else {}
        prompts = questions_of_length(model, campaign, n_tokens, repeats)
        rms = {dtype: load_reward_model(model.folder, dtype=dtype) for dtype in both}
        for at in range(min(map(len, rows.values()), default=0), repeats):
            prompt = prompts[at]
            start = " ".join(rms["float32"].words(RESPONSE_TOKENS, np.random.default_rng(at)))
            for dtype, rm in rms.items():
                job = Job(
                    model=model, prompts=[prompt], starts=[start], n_candidates=N_CANDIDATES, topk=TOPK,
                    seconds=seconds, dtype=dtype, seed=at,
                )  # fmt: skip
                attack = GCG(n_words=RESPONSE_TOKENS, width=N_CANDIDATES, k=OUR_K)
                (trace,) = ours(job, rm, no_criteria(), attack)
                rows.setdefault(f"ours {dtype}", [])[at:] = [trace.unique / trace.seconds]
                if dtype in peer_dtypes:
                    (trace,) = peer(name, recipe, job, {}, NeutralScorer(model))
                    rows.setdefault(f"{name} {dtype}", [])[at:] = [trace.unique / trace.seconds]
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(rows))
            _say(f"{title}: {_last(rows)}")
        best = max(both, key=lambda dtype: float(np.median(rows[f"ours {dtype}"])))
        found[title] = {
            "candidates_per_second": {who: _spread(values) for who, values in rows.items()},
            "ours_over_peer_as_shipped": _ratio(rows[f"ours {best}"], rows[f"{name} float32"]),
            "our_dtype": best,
            "same_dtype": {d: _ratio(rows[f"ours {d}"], rows[f"{name} {d}"]) for d in peer_dtypes},
        }
    return found


def finds_causal(options: argparse.Namespace) -> dict[str, Any]:
    return _finds(options, "docs causal")


def finds_encoder(options: argparse.Namespace) -> dict[str, Any]:
    return _finds(options, "docs encoder")


def _finds(options: argparse.Namespace, name: str) -> dict[str, Any]:
    """Seconds to a response that beats the reference and the 95th percentile of clean rewards, by neutral scoring.

    Each tool's times are kept as soon as they are taken, so that a run cut off goes on with the next tool.
    """
    campaign, models = open_bench(options)
    model = models[name]
    n, seconds = (8, 15.0) if options.quick else (24, 30.0)
    # the faster one on train prompts: bf16 is slow on tiny matrices
    dtype: DType = "float32" if model.kind == "causal" else "auto"
    scorer, rm = NeutralScorer(model), load_reward_model(model.folder, dtype=dtype)
    criteria = clean_criteria(rm, campaign.world.by_split["calibration"], quantile=0.95)
    prompts = campaign.world.sample("held_out", n, seed=1)
    bars = {p.prompt_id: max(criteria.threshold, _reference(model, scorer, p)) for p in prompts}
    starts = [" ".join(rm.words(14, np.random.default_rng(at))) for at in range(n)]
    job = Job(
        model=model, prompts=prompts, starts=starts, n_candidates=N_CANDIDATES, topk=TOPK, seconds=seconds,
        dtype="float32",
    )  # fmt: skip
    tools: dict[str, Callable[[], Sequence[Trace]]] = {
        "ours": lambda: ours(job, rm, criteria, GCG()),
        "ours, wider steps": lambda: ours(job, rm, criteria, GCG(**WIDER)),
        "ours, all prompts at once": lambda: ours_pooled(job, rm, criteria, GCG()),
    }
    for tool, recipe in PEER_RECIPES[model.kind]:
        tools[f"{tool} {recipe}"] = partial(peer, tool, recipe, job, bars, scorer)
    taken: dict[str, dict[str, Any]] = {}
    for tool, search in tools.items():
        kept = _cache(options, "finds", f"{name}-{tool}-{n}-{seconds:g}").with_suffix(".json")
        if not kept.exists():
            started = time.perf_counter()
            times = _times(search(), job, bars, scorer)
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps({"seconds": times, "whole_s": time.perf_counter() - started}))
        taken[tool] = json.loads(kept.read_text())
        _say(f"{name}: {tool} {_solved(taken[tool]['seconds'])}")
    return {
        "dtype": {"ours": rm.ranking_dtype, "peers": "float32"},
        "limit_s": seconds,
        "bar": criteria.threshold,
        "tools": {
            tool: _survival(row["seconds"], seconds) | {"whole_s": row["whole_s"]} for tool, row in taken.items()
        },
        "seconds": {tool: [None if t is None else round(t, 3) for t in row["seconds"]] for tool, row in taken.items()},
    }


def ablations(options: argparse.Namespace) -> dict[str, Any]:
    """Queries and FLOPs to the first certified finding on docs world: plain GCG, ours, and each switch of ours."""
    campaign = docs_campaign(options.out / "campaign")
    n, budget, seeds = (12, 1280, (0,)) if options.quick else (24, 2560, (0,))
    prompts = campaign.world.sample("held_out", n, seed=2)
    rows: dict[str, Attack] = {
        "gcg": GCG(),
        "plain GCG (published defaults)": Variant(**PLAIN),
        "without merging": Variant(merge="no"),
        "every merge": Variant(merge="all"),
        "uniform draws": Variant(draw="uniform"),
        "best predicted anywhere": Variant(draw="top"),
        "visited texts left out": Variant(visited=True),
        "adaptive width": Variant(adaptive_width=True),
        "width 6": Variant(width=6),
        "width 24": Variant(width=24),
        "width 48": Variant(width=48, k=16),
        "best of 16 starts": Variant(starts=16),
        "relaxed start (32 steps)": Variant(relaxed=32),
        "walks through worse texts": Variant(walk=True),
    }
    measured: dict[str, list[Attempt]] = {}
    for title, attack in rows.items():
        started = time.perf_counter()
        measured[title] = _attempts(campaign, attack, prompts, budget=budget, seeds=seeds)
        cost = median_cost([_cost(one) for one in measured[title]], budget)
        _say(f"{title}: median {cost.value} queries, {time.perf_counter() - started:.0f} s")
    return {
        title: _cost_row(attempts, measured["gcg"], prompts, len(seeds), budget) for title, attempts in measured.items()
    }


def tuned_alike(options: argparse.Namespace) -> dict[str, Any]:
    """Plain GCG (Zou et al. 2023) with width, replacements a position and walking chosen as ``gcg``'s were: on train
    prompts, at the same budget; then both on held-out prompts. What it was published with, 512 and 256, is for
    language models of billions of parameters."""
    campaign = docs_campaign(options.out / "campaign")
    n, budget, seeds = (6, 640, (0,)) if options.quick else (24, 2560, (0, 1, 2))
    tried = {
        f"width {width}, k {k}{', walking' if walk else ''}": Variant(**PLAIN | {"width": width, "k": k, "walk": walk})
        for width, k in TRIED
        for walk in (True, False)
    }
    train = campaign.world.sample("train", n // 2, seed=3)
    on_train: dict[str, float] = {}
    for title, attack in tried.items():
        attempts = _attempts(campaign, attack, train, budget=budget // 2, seeds=(0,))
        on_train[title] = float(np.mean([_cost(one) for one in attempts]))
        _say(f"on train prompts, {title}: {on_train[title]:.0f} queries")
    chosen = min(on_train, key=on_train.__getitem__)
    prompts = campaign.world.sample("held_out", n, seed=2)
    rows: dict[str, Attack] = {"gcg": GCG(), f"plain GCG, {chosen}": tried[chosen]}
    made = {title: _attempts(campaign, attack, prompts, budget=budget, seeds=seeds) for title, attack in rows.items()}
    return {
        "mean queries on train prompts": on_train,
        "train prompts": len(train),
        "train budget": budget // 2,
        "budget": budget,
        "seeds": len(seeds),
        "held out": {title: _cost_row(a, made["gcg"], prompts, len(seeds), budget) for title, a in made.items()},
    }


def momentum_rows(options: argparse.Namespace) -> dict[str, Any]:
    """``gcg`` with its gradients averaged over steps, one search at a time, beside itself without."""
    campaign = docs_campaign(options.out / "campaign")
    n, budget = (12, 1280) if options.quick else (24, 2560)
    prompts = campaign.world.sample("held_out", n, seed=2)
    measured: dict[float, list[Attempt]] = {share: [] for share in (0.0, 0.3, 0.6)}
    for share, made in measured.items():
        for at, prompt in enumerate(prompts):
            driver = driver_of(campaign, 0)
            rm = driver.oracle.rm
            assert isinstance(rm, TransformerRewardModel)
            with momentum(rm, share):
                made += [result.attempt for result in driver.run([_plan(driver, GCG(), [prompt], at, budget)])]
        _say(f"momentum {share:g}: mean {np.mean([_cost(one) for one in made]):.0f} queries")
    rows = {"gcg" if share == 0 else f"momentum {share:g}": made for share, made in measured.items()}
    return {title: _cost_row(made, rows["gcg"], prompts, 1, budget) for title, made in rows.items()}


def ideas(options: argparse.Namespace) -> dict[str, Any]:
    """What others found to pay, beside ``gcg``: on the RM as given and on a patched one."""
    campaign = Campaign(ideas_config(options))
    campaign.mine(0)
    campaign.patch(0)
    n, budget = (6, 640) if options.quick else (24, 2560)
    prompts = campaign.world.sample("held_out", n, seed=2)
    mined = sorted(campaign.findings(), key=lambda one: (-one.margin, one.finding_id))
    warm = tuple(dict.fromkeys(one.response for one in mined if one.form == "salad"))[:WARM_TEXTS]
    tried: dict[str, tuple[Attack, float]] = {
        "gcg": (GCG(), 1.0),
        "bandit over positions": (Variant(draw="bandit"), 1.0),
        "warm start from other prompts": (Variant(warm=warm), 1.0),
        "gradient through layer norms halved": (GCG(), 0.5),
        "gradient through layer norms by 0.7": (GCG(), 0.7),
    }
    found: dict[str, Any] = {}
    for round_number, title in enumerate(("as given", "patched")):
        measured: dict[str, list[Attempt]] = {}
        for name, (attack, share) in tried.items():
            driver = driver_of(campaign, round_number)
            rm = driver.oracle.rm
            assert isinstance(rm, TransformerRewardModel)
            plans = [_plan(driver, attack, [prompt], at, budget) for at, prompt in enumerate(prompts)]
            with damped_layer_norms(rm, share) if share < 1 else nullcontext():
                results = sorted(driver.run(plans), key=lambda result: result.plan.seed)
            measured[name] = [result.attempt for result in results]
            _say(f"{title}, {name}: mean {np.mean([_cost(one) for one in measured[name]]):.0f} queries")
        found[title] = {name: _cost_row(made, measured["gcg"], prompts, 1, budget) for name, made in measured.items()}
    return {"warm texts": len(warm), "budget": budget, **found}


def ideas_config(options: argparse.Namespace) -> CampaignConfig:
    return CampaignConfig.model_validate({
        "out": str(options.out / "ideas"),
        "data": {"world": "docs"},
        "attacks": [{"name": "gcg"}],
        "mine": {"prompts": 12 if options.quick else 64, "budget_queries": 1024},
    })  # fmt: skip


def universal(options: argparse.Namespace) -> dict[str, Any]:
    """One text optimised on 16 held-out prompts, measured on 48 others."""
    campaign = docs_campaign(options.out / "campaign")
    budget, seeds = (10_000, (0,)) if options.quick else (30_000, (0, 1))
    everyone = campaign.world.sample("held_out", 64, seed=0)
    measured, own = everyone[:48], everyone[48:]
    attack = known_attacks()["universal"]()
    driver = driver_of(campaign, 0)
    plans = [_plan(driver, attack, own, seed, budget) for seed in seeds]
    rows = []
    for result in driver.run(plans):
        row: dict[str, Any] = {
            "seed": result.plan.seed,
            "queries": result.attempt.queries,
            "own_wins": len(result.findings),
        }
        for one in reaches(campaign.models.rm(0), campaign.models.criteria(0), result.findings, measured):
            row |= {
                "response": one.response,
                "beats_reference": asdict(
                    rate([beats for beats in one.beats_reference if beats is not None], groups=one.groups)
                ),
                "wins": asdict(rate(one.wins, groups=one.groups)),
            }
        rows.append(row)
        _say(f"universal, seed {result.plan.seed}: {row}")
    return {"own_prompts": len(own), "measured_on": len(measured), "budget": budget, "runs": rows}


def schedule(options: argparse.Namespace) -> dict[str, Any]:
    """Queries and FLOPs per distinct certified finding at one budget: Thompson, uniform, and each attack alone."""
    total = 8_000 if options.quick else 16_000
    names = ("gcg", "random", "corrupt", "transfer", "attribution")
    runs: dict[str, tuple[str, tuple[str, ...]]] = {"thompson": ("thompson", names), "uniform": ("uniform", names)}
    runs |= {
        f"{name} alone": ("uniform", (name,)) for name in names if name != "transfer"
    }  # it has nothing to start from
    found = {}
    for title, (policy, attacks) in runs.items():
        seeds = (0,) if options.quick or title not in ("thompson", "uniform") else (0, 1)
        folders = {seed: _cache(options, "schedule", f"{total}-{title}-{seed}") for seed in seeds}
        rows = [_scheduled(folder, policy, attacks, total, seed) for seed, folder in folders.items()]
        found[title] = {
            "queries_per_distinct": _spread([row["queries"] / max(1, row["distinct"]) for row in rows]),
            "gflops_per_distinct": _spread([row["flops"] / 1e9 / max(1, row["distinct"]) for row in rows]),
            "runs": rows,
        }
        _say(f"{title}: {found[title]['queries_per_distinct']}")
    return found


def limit(options: argparse.Namespace) -> dict[str, Any]:
    """FLOPs that an ideal longest-prefix cache would need for the unique texts, per second, against the best matrix
    product of the same run."""
    from scripts.bench_oracle import measure_oracle

    campaign, models = open_bench(options)
    found = {}
    for name, n_tokens in (("random causal", 64), ("random causal", 256), ("docs encoder", 64)):
        prompts = questions_of_length(models[name], campaign, n_tokens, 4)
        for dtype in ("float32", "bfloat16"):
            rm = load_reward_model(models[name].folder, dtype=dtype)
            title = f"{name}, {n_tokens}-token prompt, {dtype}"
            found[title] = measure_oracle(
                rm, prompts, repeats=3 if options.quick else 5, bar=0.6, n_words=RESPONSE_TOKENS, edits=128
            )
            _say(f"{title}: {found[title]['share_of_matrix_rate']}")
    return found


def growth(options: argparse.Namespace) -> dict[str, Any]:
    """What a step of 64 candidates costs against prompt length, response length and prompts in flight."""
    campaign, models = open_bench(options)
    causal, encoder = models["random causal"], models["docs encoder"]
    found: dict[str, list[dict[str, float]]] = {"prompt tokens": [], "response tokens": [], "prompts in flight": []}
    rm = load_reward_model(causal.folder)
    for n_tokens in (64, 128, 256, 512, 1024):
        prompts = questions_of_length(causal, campaign, n_tokens, 1)
        found["prompt tokens"].append({"at": n_tokens} | _step_cost(rm, prompts, RESPONSE_TOKENS))
    prompts = questions_of_length(causal, campaign, 64, 1)
    for n_words in (8, 16, 32, 64, 128):
        found["response tokens"].append({"at": n_words} | _step_cost(rm, prompts, n_words))
    rm = load_reward_model(encoder.folder)
    everyone = campaign.world.sample("held_out", 64, seed=3)
    for n in (1, 4, 16, 64):
        found["prompts in flight"].append({"at": n} | _step_cost(rm, everyone[:n], 14))
    for axis, rows in found.items():
        _say(f"{axis}: {rows}")
    return {
        "rm": {"prompt tokens": causal.name, "response tokens": causal.name, "prompts in flight": encoder.name}
    } | found


def _step_cost(rm: TransformerRewardModel, prompts: Sequence[Prompt], n_words: int) -> dict[str, float]:
    """Of whole steps: queries and seconds a prompt, and how far resident memory rose above where it began."""
    steps = 6
    attack = GCG(n_words=n_words, width=64, k=max(8, 96 // n_words))
    budget = 1 + steps * (64 + 3 + 2)
    driver = Driver(
        oracle=Oracle(rm=rm), criteria=no_criteria(), certifier=EverythingIsNonsense(), in_flight=len(prompts)
    )
    plans = [_plan(driver, attack, [prompt], at, budget) for at, prompt in enumerate(prompts)]
    list(driver.run(plans[:1]))  # warm
    if PROC.exists():
        (PROC / "clear_refs").write_text("5")
    before, started = _memory_mb("VmRSS"), time.perf_counter()
    results = list(driver.run(plans))
    seconds = time.perf_counter() - started
    queries = sum(result.attempt.queries for result in results)
    return {
        "queries_per_prompt": queries / len(prompts),
        "seconds_per_prompt": seconds / len(prompts),
        "queries_per_second": queries / seconds,
        "memory_rise_mb": _memory_mb("VmHWM") - before,
    }


def _memory_mb(field: str) -> float:
    """NaN where there is no Linux to ask."""
    if not PROC.exists():
        return math.nan
    lines = (PROC / "status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def _scheduled(out: Path, policy: str, attacks: Sequence[str], total: int, seed: int) -> dict[str, Any]:
    schedule = {"total_queries": total, "policy": policy, "seed": seed}
    config = {
        "out": str(out),
        "seed": 0,
        "data": {"world": "docs"},
        "attacks": [{"name": name} for name in attacks],
        "mine": {"prompts": 96, "budget_queries": 1024, "schedule": schedule},
    }
    campaign = Campaign(CampaignConfig.model_validate(config))
    started = time.perf_counter()
    campaign.mine(0)
    attempts = campaign.corpus.attempts()
    findings, causes = sorted(campaign.findings(), key=lambda f: f.finding_id), Causes()
    spent = {name: sum(a.queries for a in attempts if a.attack == name) for name in attacks}
    return {
        "seed": seed,
        "queries": sum(attempt.queries for attempt in attempts),
        "flops": sum(attempt.flops for attempt in attempts),
        "findings": len(findings),
        "distinct": sum(causes.is_new(finding) for finding in findings),
        "seconds": time.perf_counter() - started,
        "queries_by_attack": spent,
    }


def _attempts(
    campaign: Campaign, attack: Attack, prompts: Sequence[Prompt], *, budget: int, seeds: Sequence[int]
) -> list[Attempt]:
    """One attempt a prompt and seed, in that order."""
    driver = driver_of(campaign, 0)
    plans = [_plan(driver, attack, [p], 1000 * seed + at, budget) for seed in seeds for at, p in enumerate(prompts)]
    made = {result.plan.attempt_id: result.attempt for result in driver.run(plans)}
    return [made[plan.attempt_id] for plan in plans]


def _plan(driver: Driver, attack: Attack, prompts: Sequence[Prompt], seed: int, budget: int) -> Any:
    context = RoundContext(campaign_id="bench", round=0, rm=driver.oracle.rm, criteria_hash="bench", seed=0)
    return plan_attempt(context, attack, prompts, seed=seed, budget=budget)


def _cost(attempt: Attempt) -> float:
    return float(attempt.queries_to_find or attempt.budget)


def _cost_row(
    attempts: Sequence[Attempt], base: Sequence[Attempt], prompts: Sequence[Prompt], n_seeds: int, budget: int
) -> dict[str, Any]:
    """Costs of unsolved prompts are censored at the budget, so that a ratio to a search that solves more is too low."""
    groups = [prompt.group_key for prompt in prompts] * n_seeds
    logs = paired_difference(
        [float(np.log(_cost(one))) for one in attempts], [float(np.log(_cost(one))) for one in base], groups=groups
    )
    return {
        "n": len(attempts),
        "found": asdict(rate([one.outcome == "found" for one in attempts], groups=groups)),
        "queries": asdict(median_cost([_cost(one) for one in attempts], budget)),
        "mean_queries": float(np.mean([_cost(one) for one in attempts])),
        "mean_gflops": float(np.mean([one.flops for one in attempts])) / 1e9,
        "cost_over_gcg": {k: float(np.exp(v)) for k, v in asdict(logs).items() if k in ("value", "low", "high")},
    }


def _cache(options: argparse.Namespace, part: str, title: str) -> Path:
    """Where a measurement is kept: with the code that it is of in its name, so that other code is measured anew."""
    plain = title.replace(" ", "-").replace(",", "").replace(".", "_")
    return Path(options.out) / part / f"{search_digest(GCG)[:8]}-{plain}"


def no_criteria() -> Criteria:
    """Nothing wins: the search runs until its time is over."""
    return Criteria(
        quantile=0.95, threshold=NEVER, clean_mean=0.0, clean_std=1.0, n=0, ranking_tolerance=0.0, data_hash="none"
    )


def _reference(model: BenchModel, scorer: NeutralScorer, prompt: Prompt) -> float:
    before, after = model.frame(prompt.conversation[-1].content)
    return scorer(before, str(prompt.reference), after)


def _times(traces: Any, job: Job, bars: dict[str, float], scorer: NeutralScorer) -> list[float | None]:
    by_prompt = {trace.prompt_id: trace for trace in traces}
    return [time_to_win(by_prompt.get(p.prompt_id), job, p, bars[p.prompt_id], scorer) for p in job.prompts]


def _survival(times: Sequence[float | None], limit_s: float) -> dict[str, Any]:
    cost = median_cost([limit_s if t is None else min(t, limit_s - 1e-9) for t in times], limit_s)
    return {"solved": asdict(rate([t is not None for t in times])), "median_s": asdict(cost)}


def _solved(times: Sequence[float | None]) -> str:
    known = [t for t in times if t is not None]
    return f"{len(known)}/{len(times)} solved, median of those {np.median(known) if known else float('nan'):.2f} s"


def _ratio(ours_: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Geometric mean of the paired ratios, with a 95 % interval."""
    logs = paired_difference([float(np.log(a)) for a in ours_], [float(np.log(b)) for b in theirs], groups=None)
    return {key: float(np.exp(value)) for key, value in asdict(logs).items() if key in ("value", "low", "high")}


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": float(np.median(values)), "min": float(min(values)), "max": float(max(values)), "n": len(values)}


def _last(rows: dict[str, list[float]]) -> str:
    return ", ".join(f"{who} {values[-1]:.0f}/s" for who, values in rows.items())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "rates": rates,
    "finds causal": finds_causal,
    "ablations": ablations,
    "universal": universal,
    "schedule": schedule,
    "limit": limit,
    "growth": growth,
    "finds encoder": finds_encoder,
    "momentum": momentum_rows,
    "tuned alike": tuned_alike,
}
