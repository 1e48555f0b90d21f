"""What bench_policy measures, each part a function of the bench."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from corpus.records import Prompt
from miner.evaluation import clean_outcomes
from miner.language_models import LanguageModel, load_language_model
from miner.overopt.accuracy import WITHIN, Accuracy, judge_run, summarise
from miner.overopt.changepoint import bend
from miner.overopt.curves import Curves
from miner.overopt.detector import Detector, raised
from miner.overopt.measuring import decoding
from miner.overopt.onset import GoldOnset, climb, gold_onset
from miner.overopt.rl import checkpoints_of
from miner.overopt.sampling import sample_ids
from miner.overopt.summary import summarise_run, summarise_study
from miner.rewards.base import Pair
from miner.statistics import rate
from miner.world import spread
from policy_bench.runs import Bench, specs, stored

REPEATS = 5
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0)
NAMES = ("disagreement", "surprise", "latent", "repetition", "certainty")
CHOICES = ((0.0, 1.0), (0.0, 0.5, 1.0), (0.0, 0.5), (0.0, 0.5), (0.0, 0.5))
MIXES = tuple(
    {name: weight for name, weight in zip(NAMES, weights, strict=True) if weight}
    for weights in product(*CHOICES)
    if any(weights)
)


def runs(bench: Bench, seconds: float) -> dict[str, Any]:
    """Make the stored runs, until ``seconds`` have passed; then what they show by RM."""
    started = time.monotonic()
    for spec in specs(quick=bench.quick):
        if time.monotonic() - started > seconds:
            break
        bench.make(spec, keep_checkpoints=spec.seed == 0)
    return curves_shown(bench.out, quick=bench.quick)


def curves_shown(folder: Path, *, quick: bool) -> dict[str, Any]:
    """By RM and KL weight: verdicts of gold, onsets, laws; proxy and gold at start, at gold's best and at the end."""
    groups: dict[str, list[Any]] = {}
    for spec, _ in stored(folder, quick=quick):
        run = summarise_run(folder / spec.name, Detector())
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


def onset(bench_out: Path, *, quick: bool) -> dict[str, Any]:
    """The default detector on all runs, none of which chose it; one chosen on tuning runs, judged on the others."""
    found = list(stored(bench_out, quick=quick))
    truths = {spec.name: gold_onset(curves) for spec, curves in found}

    def judged(detector: Detector, *, tuning: bool) -> Accuracy:
        chosen = [(spec, curves) for spec, curves in found if spec.tuning == tuning]
        return summarise([judge_run(s.name, c, detector, truth=truths[s.name]) for s, c in chosen])

    tuning = [(curves, truths[spec.name]) for spec, curves in found if spec.tuning]
    best = max((chosen for mix in MIXES for chosen in _tried(mix, tuning)), key=lambda one: one[0])[1]
    plain = summarise([judge_run(s.name, c, Detector(), truth=truths[s.name]) for s, c in found])
    return {
        "default, fixed before any run, on all": _told(plain),
        "tuned": {
            "weights": dict(best.weights),
            "threshold": best.threshold,
            "in_a_row": best.in_a_row,
            "on tuning runs": _told(judged(best, tuning=True)),
            "on the others": _told(judged(best, tuning=False)),
        },
        "default on the others": _told(judged(Detector(), tuning=False)),
        "runs": [
            {
                "run": one.run,
                "games": one.games,
                "truth": asdict(one.truth) if one.truth else None,
                "estimate": asdict(one.estimate) if one.estimate else None,
                "online": asdict(one.online) if one.online else None,
                "alarm": one.alarm_step,
                "lead": one.lead,
            }
            for one in plain.runs
        ],
    }


def _tried(mix: dict[str, float], tuning: Sequence[tuple[Curves, GoldOnset]]) -> list[tuple[float, Detector]]:
    """Every threshold for one mix of signals, with what it is worth on the tuning runs: no false alarms first, then
    gaming caught, then closeness to the onset with gold, then alarms that come early."""
    detector = Detector(weights=mix)
    seen = []
    for curves, truth in tuning:
        mean = detector.index(curves).mean(0)
        climbing = climb(mean)
        found = bend(curves.steps[:climbing], mean[:climbing])
        error = None
        if truth.onset is not None and found is not None:
            error = abs(found.step / truth.onset.bend.step - 1)
        seen.append((curves.steps, mean, truth.games, error))
    tried = []
    for threshold, in_a_row in product(THRESHOLDS, (1, 2)):
        worth = 0.0
        for steps, mean, games, error in seen:
            at = raised(mean, threshold, in_a_row)
            if games is False:
                worth -= 4.0 * (at is not None)
            elif games and at is not None:
                near = 0.0 if error is None else (error <= WITHIN) - 0.5 * min(error, 1.0)
                worth += 1.0 + near - 0.5 * float(steps[at]) / float(steps[-1])
        tried.append((worth, Detector(weights=mix, threshold=threshold, in_a_row=in_a_row)))
    return tried


def _told(accuracy: Accuracy) -> dict[str, Any]:
    rates = {n: getattr(accuracy, n) for n in ("close", "inside", "caught", "false_alarms")}
    return {
        **{name: asdict(value) if value else None for name, value in rates.items()},
        **{n: getattr(accuracy, n) for n in ("median_error", "median_width", "median_lead", "undecided")},
    }


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
    first = clean_outcomes(bench.campaign.rm(0), prompts)
    return {"lexical": asdict(lexical), "encoder": asdict(first.accuracy()) if first else None}


def collapse(bench: Bench) -> dict[str, Any]:
    """The collapsed policy: its best of n against the RM's clean percentiles, and the reach of one response."""
    study = bench.study("the")
    folder = study.folder / specs(quick=bench.quick)[0].name.partition("/")[2]
    policies = checkpoints_of(folder)
    if not policies:
        return {}
    last = max(policies)
    policy = load_language_model(policies[last], device="cpu")
    prompts = spread(bench.campaign.world.by_split["held_out"], 12 if not bench.quick else 4, seed=1)
    rm, bar = study.target, study.criteria
    references = np.sort(
        rm.exact_rewards(
            [Pair(p.conversation, p.reference or "") for p in bench.campaign.world.by_split["calibration"]]
        )
    )
    ids = [policy.prompt_ids(p.conversation) for p in prompts]
    n = 64
    torch.manual_seed(0)
    written = sample_ids(policy.model, ids, decoding(policy, 20, 20), per_prompt=n)
    texts = [policy.text(tokens) for tokens in written]
    asked = [prompt for prompt in prompts for _ in range(n)]
    rewards = rm.exact_rewards([Pair(p.conversation, t) for p, t in zip(asked, texts, strict=True)]).reshape(-1, n)
    best = [(float(row.max()), texts[at * n + int(row.argmax())]) for at, row in enumerate(rewards)]
    convicted = study.instruments.nonsense(prompts, [text for _, text in best])
    chosen = max(best)[1]
    reach = _reach(rm, study.criteria.threshold, spread(bench.campaign.world.by_split["held_out"], 96, seed=2), chosen)
    return {
        "step": last,
        "percentile of the mean sample": _percentile(references, float(rewards.mean())),
        f"percentile of the best of {n}, median prompt": _percentile(
            references, float(np.median([r for r, _ in best]))
        ),
        "best of n over the 95th percentile": asdict(rate([r >= bar.threshold for r, _ in best])),
        "of them certified nonsense": float(np.nanmean(convicted)) if not np.isnan(convicted).all() else None,
        "samples": [{"reward": r, "response": t} for r, t in sorted(best, reverse=True)[:6]],
        "reach": {"response": chosen, **reach},
    }


def _percentile(references: np.ndarray[Any, Any], value: float) -> float:
    return float(100 * np.searchsorted(references, value) / len(references))


def _reach(rm: Any, threshold: float, prompts: Sequence[Prompt], response: str) -> dict[str, Any]:
    mine = rm.exact_rewards([Pair(p.conversation, response) for p in prompts])
    theirs = rm.exact_rewards([Pair(p.conversation, p.reference or "") for p in prompts])
    return {
        "beats the reference": asdict(rate((mine > theirs).tolist())),
        "wins": asdict(rate(((mine > theirs) & (mine >= threshold)).tolist())),
    }


def best_of_n(bench: Bench) -> dict[str, Any]:
    """The curve over n, from one pool."""
    study = bench.study("the")
    study.pools(n=128 if bench.quick else 1024, prompts=8)
    pool = summarise_study(study.folder).pool
    return asdict(pool) if pool else {}


def speed(bench: Bench) -> dict[str, Any]:
    """Sampling against plain generate, and RL steps against plain TRL, interleaved, medians."""
    policy = load_language_model(bench.policy, device="cpu")
    prompts = spread(bench.campaign.world.by_split["train"], 8, seed=0)
    ids = [policy.prompt_ids(p.conversation) for p in prompts]
    ways: dict[str, Callable[[], int]] = {
        "ours": lambda: sum(map(len, sample_ids(policy.model, ids, decoding(policy, 32, 0), per_prompt=4))),
        "generate": lambda: _generate(policy, ids, 4, 32),
    }
    tokens: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(REPEATS + 1):
        for name, way in ways.items():
            torch.manual_seed(turn)
            started = time.process_time()
            n = sum(way() for _ in range(4))
            if turn:
                tokens[name].append(n / (time.process_time() - started))
    steps = {"ours": [], "plain TRL": []}  # type: ignore[var-annotated]
    for _ in range(2 if bench.quick else 3):
        for name in steps:
            steps[name].append(_steps_per_minute(bench, plain=name == "plain TRL"))
    return {
        "tokens per CPU second": {name: float(np.median(found)) for name, found in tokens.items()},
        "sampling ratios": [a / b for a, b in zip(tokens["ours"], tokens["generate"], strict=True)],
        "steps per CPU minute": {name: float(np.median(found)) for name, found in steps.items()},
        "step ratios": [a / b for a, b in zip(steps["ours"], steps["plain TRL"], strict=True)],
    }


def _generate(policy: LanguageModel, ids: Sequence[Sequence[int]], per_prompt: int, n: int) -> int:
    from transformers import GenerationConfig

    pad = decoding(policy, n, 0).pad_token
    rows = [list(one) for one in ids for _ in range(per_prompt)]
    longest = max(map(len, rows))
    padded = torch.tensor([[pad] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    config = GenerationConfig(
        do_sample=True, top_k=0, max_new_tokens=n, eos_token_id=list(policy.end_tokens), pad_token_id=pad
    )
    output = policy.model.generate(padded, attention_mask=mask, generation_config=config)
    return int((output[:, longest:] != pad).sum())


def _steps_per_minute(bench: Bench, *, plain: bool, steps: int = 8) -> float:
    """Of CPU time, generation of one kind or the other, all else alike."""
    import tempfile

    from trl import RLOOTrainer

    from miner.overopt.trainer import PolicyTrainer

    study = bench.study("the")
    own = PolicyTrainer._generate_single_turn
    times: list[float] = []

    def timed(self: Any, *rest: Any, **named: Any) -> Any:
        times.append(time.process_time())
        return RLOOTrainer.training_step(self, *rest, **named)

    PolicyTrainer.training_step = timed  # type: ignore[method-assign]
    if plain:
        PolicyTrainer._generate_single_turn = RLOOTrainer._generate_single_turn  # type: ignore[method-assign]
    try:
        with tempfile.TemporaryDirectory() as scratch:
            quiet = replace(
                study.settings, steps=steps, eval_every=64, checkpoint_every=64, eval_prompts=8, min_new_tokens=0,
                max_new_tokens=32,
            )  # fmt: skip
            replace(study, settings=quiet, place=Path(scratch)).run(kl=0.01, seed=0)
    finally:
        PolicyTrainer._generate_single_turn = own  # type: ignore[method-assign]
        del PolicyTrainer.training_step
    return 60 * (len(times) - 3) / (times[-1] - times[2])
