"""Sampling against plain ``generate``, and RL steps against plain TRL."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from miner.language_models import LanguageModel, load_language_model
from miner.language_models.sampling import sample_ids
from miner.measuring.overopt.measuring import decoding
from miner.worlds.world import spread
from scripts.policy_bench.runs import Bench

REPEATS = 5


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
    steps: dict[str, list[float]] = {"ours": [], "plain TRL": []}
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
    generate: Any = policy.model.generate
    output = generate(padded, attention_mask=mask, generation_config=config)
    return int((output[:, longest:] != pad).sum())


def _steps_per_minute(bench: Bench, *, plain: bool, steps: int = 8) -> float:
    """Of CPU time, generation of one kind or the other, all else alike."""
    import tempfile

    from trl import RLOOTrainer

    from miner.measuring.overopt.trainer import PolicyTrainer

    study = bench.study("encoder")
    times: list[float] = []

    def timed(self: Any, *rest: Any, **named: Any) -> Any:
        times.append(time.process_time())
        return RLOOTrainer.training_step(self, *rest, **named)

    generation = (RLOOTrainer if plain else PolicyTrainer)._generate_single_turn
    with (
        patch.object(PolicyTrainer, "training_step", timed),
        patch.object(PolicyTrainer, "_generate_single_turn", generation),
        tempfile.TemporaryDirectory() as scratch,
    ):
        quiet = replace(
            study.settings, steps=steps, eval_every=64, checkpoint_every=64, eval_prompts=8, min_new_tokens=0,
            max_new_tokens=32,
        )  # fmt: skip
        replace(study, settings=quiet, place=Path(scratch)).run(kl=0.01, seed=0)
    return 60 * (len(times) - 3) / (times[-1] - times[2])
