"""The columns of the tables. Columns are added, never removed or renamed."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from corpus.records import SCHEMA_VERSION, Attempt, Finding, Prompt, Review, ScoredQuery

Record = Finding | Attempt | Prompt | ScoredQuery | Review

_STRINGS = pa.list_(pa.string())
_CONVERSATION = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_CERTIFICATE = pa.list_(
    pa.struct(
        [
            ("check", pa.string()),
            ("verdict", pa.string()),
            ("value", pa.float64()),
            ("threshold", pa.float64()),
            ("calibration_id", pa.string()),
        ]
    )
)

_FINDINGS = {
    "finding_id": pa.string(),
    "attempt_id": pa.string(),
    "campaign_id": pa.string(),
    "round": pa.int64(),
    "prompt_id": pa.string(),
    "split": pa.string(),
    "prompt": _CONVERSATION,
    "response": pa.string(),
    "reference": pa.string(),
    "reward": pa.float64(),
    "reward_dtype": pa.string(),
    "reference_reward": pa.float64(),
    "margin": pa.float64(),
    "threshold": pa.float64(),
    "threshold_quantile": pa.float64(),
    "attack": pa.string(),
    "family": pa.string(),
    "form": pa.string(),
    "kind": pa.string(),
    "attack_params": pa.string(),
    "code_version": pa.string(),
    "seed": pa.int64(),
    "queries": pa.int64(),
    "rm_fingerprint": pa.string(),
    "pipeline_hash": pa.string(),
    "certificate": _CERTIFICATE,
    "parent_ids": _STRINGS,
    "created_at": pa.timestamp("us", tz="UTC"),
    "schema_version": pa.int64(),
}

_ATTEMPTS = {
    "attempt_id": pa.string(),
    "campaign_id": pa.string(),
    "round": pa.int64(),
    "prompt_ids": _STRINGS,
    "split": pa.string(),
    "attack": pa.string(),
    "family": pa.string(),
    "attack_params": pa.string(),
    "code_version": pa.string(),
    "seed": pa.int64(),
    "budget": pa.int64(),
    "queries": pa.int64(),
    "gradients": pa.int64(),
    "policy_tokens": pa.int64(),
    "flops": pa.float64(),
    "queries_to_find": pa.int64(),
    "outcome": pa.string(),
    "error": pa.string(),
    "best_reward": pa.float64(),
    "rm_fingerprint": pa.string(),
    "pipeline_hash": pa.string(),
    "criteria_hash": pa.string(),
    "seconds": pa.float64(),
    "schema_version": pa.int64(),
    "queries_to_beat_reference": pa.int64(),
    "queries_to_beat_quantile": pa.int64(),
    "finding_ids": _STRINGS,
    "won_abstained": pa.int64(),
    "won_acquitted": pa.int64(),
}

_PROMPTS = {
    "prompt_id": pa.string(),
    "prompt": _CONVERSATION,
    "reference": pa.string(),
    "rejected": _STRINGS,
    "group_key": pa.string(),
    "split": pa.string(),
    "schema_version": pa.int64(),
}

_QUERIES = {
    "attempt_id": pa.string(),
    "prompt_id": pa.string(),
    "ordinal": pa.int64(),
    "response": pa.string(),
    "reward": pa.float64(),
    "rm_fingerprint": pa.string(),
    "schema_version": pa.int64(),
}

_REVIEWS = {
    "review_id": pa.string(),
    "reviewer": pa.string(),
    "mode": pa.string(),
    "item_id": pa.string(),
    "verdict": pa.string(),
    "expected": pa.string(),
    "score": pa.float64(),
    "side": pa.string(),
    "seconds": pa.float64(),
    "blind": pa.bool_(),
    "shown_order": pa.int64(),
    "comment": pa.string(),
    "source": pa.string(),
    "created_at": pa.timestamp("us", tz="UTC"),
    "schema_version": pa.int64(),
}

MAY_BE_NULL = frozenset(
    {
        "reference",
        "reference_reward",
        "queries_to_find",
        "queries_to_beat_reference",
        "queries_to_beat_quantile",
        "finding_ids",
        "won_abstained",
        "won_acquitted",
        "error",
        "best_reward",
        "expected",
        "score",
        "side",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSpec:
    """One table: its record, its columns, and the columns that identify a row."""

    name: str
    record: type[Record]
    schema: pa.Schema
    key: tuple[str, ...]


def _spec(name: str, record: type[Record], columns: dict[str, pa.DataType], key: tuple[str, ...]) -> TableSpec:
    schema = pa.schema([pa.field(column, kind, column in MAY_BE_NULL) for column, kind in columns.items()])
    return TableSpec(name=name, record=record, schema=schema, key=key)


# In publication order: whatever a row refers to is durable before the row itself, so that a kill never leaves
# an attempt that was "found" without its finding.
TABLES = {
    spec.name: spec
    for spec in (
        _spec("prompts", Prompt, _PROMPTS, ("prompt_id",)),
        _spec("queries", ScoredQuery, _QUERIES, ("attempt_id", "prompt_id", "ordinal")),
        _spec("findings", Finding, _FINDINGS, ("finding_id",)),
        _spec("attempts", Attempt, _ATTEMPTS, ("attempt_id",)),
        _spec("reviews", Review, _REVIEWS, ("review_id",)),
    )
}

VERSION_KEY = b"rmminer.schema_version"
VERSION_METADATA = {VERSION_KEY: str(SCHEMA_VERSION).encode()}
