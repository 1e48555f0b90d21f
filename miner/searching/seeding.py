"""Which findings a search may start from: a pool fixed when a stage begins, so that resuming changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from corpus.duplicates import near_duplicates
from corpus.records import Finding, digest
from miner.files import replace_text

MAX_POOL = 512

Seed = tuple[str, str]  # prompt_id, response


def seed_pool(path: Path, findings: Iterable[Finding]) -> tuple[Seed, ...]:
    """The pool stored at ``path``, or that of ``findings``, which is then stored there unless it is empty."""
    if path.exists():
        return tuple((prompt_id, response) for prompt_id, response in json.loads(path.read_text(encoding="utf-8")))
    pool = pool_of(findings)
    if pool:
        replace_text(path, json.dumps(pool) + "\n")
    return pool


def pool_of(findings: Iterable[Finding]) -> tuple[Seed, ...]:
    """Best margin first, near-duplicates left out: a start like one that failed is no new start."""
    ordered = sorted(findings, key=lambda f: (-f.margin, f.finding_id))
    stands_for = near_duplicates(ordered)
    different = [f for f in ordered if stands_for[f.finding_id] == f.finding_id]
    return tuple((f.prompt_id, f.response) for f in different[:MAX_POOL])


def pool_digest(pool: Sequence[Seed]) -> str:
    return digest([list(seed) for seed in pool])
