"""Collapsed policies: where their answers lie among the RM's clean ones, and on how many prompts one of them wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from corpus.records import Prompt
from miner.language_models import load_language_model
from miner.language_models.sampling import sample_ids
from miner.measuring.diversity.checkpoints import evenly
from miner.measuring.overopt.measuring import decoding
from miner.measuring.overopt.rl import checkpoints_of
from miner.measuring.overopt.study import Study
from miner.rewards.base import Pair
from miner.statistics import rate
from miner.worlds.world import spread
from scripts.policy_bench.runs import MIXES, WEAK, Bench, stored

SAMPLES = 64
SHOWN = 4  # checkpoints of each run
PROMPTS_FILE, REACHED = 12, 96  # prompts to pick a response on, and others to try it on


def collapse(bench: Bench) -> dict[str, Any]:
    """Every run to the collapse, at a few of its checkpoints."""
    study, found = bench.study("collapse"), {}
    for run in sorted(study.folder.glob("*/run.json")):
        checkpoints = list(checkpoints_of(run.parent).items())
        for step, policy in evenly(checkpoints, SHOWN):
            found[f"{run.parent.name}, step {step}"] = _measured(study, policy, quick=bench.quick)
    return found


def reached(bench: Bench) -> dict[str, Any]:
    """Where the last answers of every stored run against a single RM lie among that RM's clean answers."""
    found = {}
    for spec, curves in stored(bench.out, quick=bench.quick):
        if spec.target in MIXES or spec.kl != WEAK:
            continue
        study = bench.study(spec.target)
        rewards = _rewards(study, study.campaign.world.by_split["calibration"], None)
        clean = np.sort((rewards - study.criteria.clean_mean) / study.criteria.clean_std)
        last = [row for row in curves.rows if row.step == curves.steps[-1]]
        proxy, verdicts = np.array([row.proxy for row in last]), [row.nonsense for row in last]
        found[spec.name] = {
            "percentile of the mean": _percentile(clean, float(proxy.mean())),
            "above the median clean answer": asdict(rate((proxy > np.median(clean)).tolist())),
            "over the 95th percentile": asdict(rate((proxy > np.quantile(clean, 0.95)).tolist())),
            "certified nonsense": asdict(rate([verdict == 1.0 for verdict in verdicts])),
        }
    return found


def _measured(study: Study, place: Path, *, quick: bool) -> dict[str, Any]:
    policy, held_out = load_language_model(place, device="cpu"), study.campaign.world.by_split["held_out"]
    drawn = spread(held_out, 16 if quick else PROMPTS_FILE + REACHED, seed=1)
    asked, others = (drawn[:4], drawn[4:]) if quick else (drawn[:PROMPTS_FILE], drawn[PROMPTS_FILE:])
    clean = np.sort(_rewards(study, study.campaign.world.by_split["calibration"], None))
    settings = study.settings
    torch.manual_seed(0)
    written = sample_ids(
        policy.model,
        [policy.prompt_ids(p.conversation) for p in asked],
        decoding(policy, settings.max_new_tokens, settings.min_new_tokens),
        per_prompt=SAMPLES,
    )
    texts = np.array([policy.text(tokens) for tokens in written]).reshape(len(asked), SAMPLES)
    repeated = [prompt for prompt in asked for _ in range(SAMPLES)]
    rewards = _rewards(study, repeated, texts.ravel().tolist()).reshape(texts.shape)
    picks = rewards.argmax(1)
    best = [(float(row[at]), str(said[at])) for row, said, at in zip(rewards, texts, picks, strict=True)]
    over = [r >= study.criteria.threshold for r, _ in best]
    verdicts = study.metrics.nonsense(asked, [text for _, text in best])
    convicted = [v == 1.0 for v, wins in zip(verdicts, over, strict=True) if wins]
    everywhere = _everywhere(study, asked, [text for _, text in best])
    return {
        "percentile": {
            "mean sample": _percentile(clean, float(rewards.mean())),
            f"best of {SAMPLES}, median prompt": _percentile(clean, float(np.median([r for r, _ in best]))),
        },
        "mean sample certified nonsense": float(np.nanmean(study.metrics.nonsense(asked, texts[:, 0].tolist()))),
        f"best of {SAMPLES} over the bar": asdict(rate(over)),
        "of them certified nonsense": asdict(rate(convicted)) if convicted else None,
        "samples": [{"reward": r, "response": t} for r, t in sorted(best, reverse=True)[:4]],
        "one response on other prompts": _reach(study, others, everywhere, clean),
    }


def _everywhere(study: Study, prompts: Sequence[Prompt], best: Sequence[str]) -> str:
    """Of the prompts' best samples the one with the highest mean reward over all of ``prompts``."""
    candidates = sorted(set(best))
    rewards = [float(_rewards(study, prompts, [text] * len(prompts)).mean()) for text in candidates]
    return candidates[int(np.argmax(rewards))]


def _reach(study: Study, prompts: Sequence[Prompt], response: str, clean: npt.NDArray[np.float64]) -> dict[str, Any]:
    mine, theirs = _rewards(study, prompts, [response] * len(prompts)), _rewards(study, prompts, None)
    return {
        "response": response,
        "percentile of its mean reward": _percentile(clean, float(mine.mean())),
        "above the median clean answer": asdict(rate((mine > np.median(clean)).tolist())),
        "beats the reference": asdict(rate((mine > theirs).tolist())),
        "wins": asdict(rate(((mine > theirs) & (mine >= study.criteria.threshold)).tolist())),
    }


def _rewards(study: Study, prompts: Sequence[Prompt], texts: Sequence[str] | None) -> npt.NDArray[np.float64]:
    """Of ``texts``, or of the references."""
    given = [p.reference or "" for p in prompts] if texts is None else texts
    return study.target.exact_rewards([Pair(p.conversation, t) for p, t in zip(prompts, given, strict=True)])


def _percentile(clean: npt.NDArray[np.float64], value: float) -> float:
    return float(100 * np.searchsorted(clean, value) / len(clean))
