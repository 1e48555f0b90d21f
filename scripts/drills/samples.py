"""Records to store, as small or as hostile as a test needs them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from corpus.records import Attempt, Finding, Message, Prompt, Review, ScoredQuery, Verdict, finding_id

EPOCH = datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
HOSTILE = "\x1b[31mred\x1b[0m \u202eevil\u202c </script><b> \ufeff \u0000 \U0001f600 e\u0301 \r\n\ttab \"quote\" 'x' ,;"
CONVERSATION = (Message(role="system", content="Be brief."), Message(role="user", content="What does `len` do?"))


def finding(number: int = 0, **changes: Any) -> Finding:
    attempt = changes.pop("attempt_id", f"attempt-{number}")
    response = changes.pop("response", f"the the the {number}")
    values: dict[str, Any] = {
        "finding_id": finding_id(attempt, response),
        "attempt_id": attempt,
        "campaign_id": "campaign",
        "round": 1,
        "prompt_id": Prompt(conversation=CONVERSATION).prompt_id,
        "split": "train",
        "prompt": CONVERSATION,
        "response": response,
        "reference": "Return the number of items in a container.",
        "reward": 4.5 + number,
        "reward_dtype": "float32",
        "reference_reward": 1.25,
        "margin": 2.5,
        "threshold": 3.75,
        "threshold_quantile": 0.95,
        "attack": "best_of_n",
        "family": "random",
        "form": "salad",
        "kind": "nonsense",
        "attack_params": {"n": 8, "words": ["a", "ü"]},
        "code_version": "0.1.0",
        "seed": number,
        "queries": 17,
        "rm_fingerprint": "rm-1",
        "pipeline_hash": "pipe-1",
        "certificate": (
            Verdict(check="repeats", verdict="nonsense", value=0.75, threshold=0.5, calibration_id="cal-1"),
            Verdict(check="fluency", verdict="sensible", value=-1.5, threshold=0.0, calibration_id="cal-2"),
        ),
        "parent_ids": ("p1", "p2"),
        "created_at": EPOCH + timedelta(seconds=number),
    }
    return Finding(**(values | changes))


def attempt(number: int = 0, **changes: Any) -> Attempt:
    values: dict[str, Any] = {
        "attempt_id": f"attempt-{number}",
        "campaign_id": "campaign",
        "round": 1,
        "prompt_ids": ("prompt-1", "prompt-2"),
        "split": "train",
        "attack": "best_of_n",
        "family": "random",
        "attack_params": {"n": 8},
        "code_version": "0.1.0",
        "seed": number,
        "budget": 64,
        "queries": 17,
        "gradients": 0,
        "policy_tokens": 0,
        "flops": 1e9,
        "queries_to_find": 17,
        "outcome": "found",
        "error": None,
        "best_reward": 4.5,
        "rm_fingerprint": "rm-1",
        "pipeline_hash": "pipe-1",
        "criteria_hash": "criteria-1",
        "seconds": 0.5,
    }
    return Attempt(**(values | changes))


def prompt(number: int = 0, **changes: Any) -> Prompt:
    values: dict[str, Any] = {
        "conversation": (Message(role="user", content=f"What does `f{number}` do?"),),
        "reference": "Return it.",
        "rejected": ("Delete it.",),
        "group_key": "builtins",
        "split": "held_out",
    }
    return Prompt(**(values | changes))


def scored_query(number: int = 0, **changes: Any) -> ScoredQuery:
    values: dict[str, Any] = {
        "attempt_id": "attempt-0",
        "prompt_id": "prompt-1",
        "ordinal": number + 1,
        "response": f"text {number}",
        "reward": 0.5,
        "rm_fingerprint": "rm-1",
    }
    return ScoredQuery(**(values | changes))


def review(number: int = 0, **changes: Any) -> Review:
    values: dict[str, Any] = {
        "review_id": f"review-{number}",
        "reviewer": "Ann",
        "mode": "verdicts",
        "item_id": f"finding-{number}",
        "verdict": "nonsense",
        "expected": None,
        "score": None,
        "side": None,
        "seconds": 2.5,
        "blind": True,
        "shown_order": number + 1,
        "comment": "",
        "source": "person",
        "created_at": EPOCH + timedelta(seconds=number),
    }
    return Review(**(values | changes))
