"""Attempts made up for evaluations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from corpus.records import Attempt

BASE = Attempt(
    attempt_id="a", campaign_id="c", round=0, prompt_ids=("p",), split="held_out", attack="gcg", family="gradient",
    attack_params={}, code_version="1", seed=1, budget=100, queries=100, gradients=0, policy_tokens=0, flops=0.0,
    queries_to_find=None, outcome="budget_spent", error=None, best_reward=0.0, rm_fingerprint="f", pipeline_hash="h",
    criteria_hash="k", seconds=0.0,
)  # fmt: skip


def attempt(number: int, **changes: Any) -> Attempt:
    return replace(BASE, attempt_id=f"{number}|{changes}", prompt_ids=(f"p{number}",), seed=number, **changes)
