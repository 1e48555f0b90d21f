"""The rows of the corpus, as frozen dataclasses. Nothing here knows a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

SCHEMA_VERSION = 1

Split = Literal["train", "calibration", "held_out"]
Form = Literal["salad", "repetition", "structural", "fluent"]
Kind = Literal["nonsense", "off_topic", "factual"]  # nothing of ours makes ``off_topic``; imported rows may be
Outcome = Literal["found", "budget_spent", "exhausted", "error"]
Answer = Literal["nonsense", "sensible", "abstain"]
ReviewMode = Literal["verdicts", "near_misses", "pairs", "gold", "groups"]
ReviewSource = Literal["person", "script"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: str
    content: str


Conversation = tuple[Message, ...]

_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def digest(value: object) -> str:
    """32 hex digits of SHA-256 over the canonical JSON of ``value``: equal values, equal digests, on any machine."""
    return _hashed(_canonical(value))


def digest_of_each(values: Iterable[object]) -> str:
    """The digest of the list of these values, of which only one has to be there at a time."""
    found, before = hashlib.sha256(b"["), ""
    for value in values:
        found.update(f"{before}{_canonical(value)}".encode())
        before = ","
    found.update(b"]")
    return found.hexdigest()[:32]


def conversation_id(conversation: Conversation) -> str:
    """The ``prompt_id`` of a conversation."""
    turns = [f"[{_canonical(turn.role)},{_canonical(turn.content)}]" for turn in conversation]
    return _hashed(f"[{','.join(turns)}]")  # the digest of the list; texts alone are written much faster


def _hashed(canonical: str) -> str:
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A conversation to answer, with what is known of good and bad answers to it.

    ``group_key`` is what the split hashes (module, conversation, source): rows that share it share a split.
    """

    conversation: Conversation
    reference: str | None = None
    rejected: tuple[str, ...] = ()
    group_key: str = ""
    split: Split = "train"

    @property
    def prompt_id(self) -> str:
        return conversation_id(self.conversation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One check's answer on one text; ``value`` against ``threshold`` decided it (NaN where it abstained)."""

    check: str
    verdict: Answer
    value: float
    threshold: float
    calibration_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One unit of work, with or without a find.

    ``queries_to_find`` is None when nothing was found; the two after it count to the first certified response that
    met one half of winning alone. ``finding_ids`` are its findings. ``won_abstained`` and ``won_acquitted`` count texts
    that would have won, of which the checks could not tell, or that they called sensible: with many of them the judge,
    and not the RM, is what an attack came up against. Attempts stored before these were kept have None.
    """

    attempt_id: str
    campaign_id: str
    round: int
    prompt_ids: tuple[str, ...]
    split: Split
    attack: str
    family: str
    attack_params: Mapping[str, Any]
    code_version: str
    seed: int
    budget: int
    queries: int
    gradients: int
    policy_tokens: int
    flops: float
    queries_to_find: int | None
    outcome: Outcome
    error: str | None
    best_reward: float | None
    rm_fingerprint: str
    pipeline_hash: str
    criteria_hash: str
    seconds: float
    queries_to_beat_reference: int | None = None
    queries_to_beat_quantile: int | None = None
    finding_ids: tuple[str, ...] | None = None
    won_abstained: int | None = None
    won_acquitted: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A response that won, confirmed and certified. ``reward`` is from text, alone in its batch.

    ``parent_ids`` are findings that it was made from; our searches leave them empty, for what a text was bent from is
    not followed.
    """

    finding_id: str
    attempt_id: str
    campaign_id: str
    round: int
    prompt_id: str
    split: Split
    prompt: Conversation
    response: str
    reference: str | None
    reward: float
    reward_dtype: str
    reference_reward: float | None
    margin: float
    threshold: float
    threshold_quantile: float
    attack: str
    family: str
    form: Form
    kind: Kind
    attack_params: Mapping[str, Any]
    code_version: str
    seed: int
    queries: int
    rm_fingerprint: str
    pipeline_hash: str
    certificate: tuple[Verdict, ...]
    parent_ids: tuple[str, ...]
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredQuery:
    """One text the RM scored during an attempt (optional table ``queries``); ``ordinal`` counts from 1."""

    attempt_id: str
    prompt_id: str
    ordinal: int
    response: str
    reward: float
    rm_fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One answer of one reviewer. Of a reviewer's answers to one item in one mode the last published stands.

    ``item_id`` is a finding's, a group's, or a digest of the text shown. ``expected`` is what a control is known to
    be, None for what people are asked to judge; ``side`` is where the finding of a pair stood; ``blind``: nothing but
    prompt and text was shown; ``shown_order`` counts the reviewer's items from 1.
    """

    review_id: str
    reviewer: str
    mode: ReviewMode
    item_id: str
    verdict: str
    expected: str | None
    score: float | None
    side: str | None
    seconds: float
    blind: bool
    shown_order: int
    comment: str
    source: ReviewSource
    created_at: datetime


def attempt_id(
    *,
    prompt_ids: Sequence[str],
    attack: str,
    attack_params: Mapping[str, Any],
    code_version: str,
    seed: int,
    budget: int,
    rm_fingerprint: str,
    pipeline_hash: str,
    criteria_hash: str,
) -> str:
    """The identity of a unit of work: running it again can only add the same rows."""
    return digest(
        {
            "prompt_ids": list(prompt_ids),
            "attack": attack,
            "attack_params": dict(attack_params),
            "code_version": code_version,
            "seed": seed,
            "budget": budget,
            "rm_fingerprint": rm_fingerprint,
            "pipeline_hash": pipeline_hash,
            "criteria_hash": criteria_hash,
        }
    )


def finding_id(attempt: str, response: str, prompt_id: str | None = None) -> str:
    """The identity of a finding: its attempt and its text, and its prompt where the attempt has several."""
    return digest([attempt, response] if prompt_id is None else [attempt, response, prompt_id])
