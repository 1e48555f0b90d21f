"""Which findings a search may start from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from corpus.duplicates import near_duplicates
from corpus.records import Finding, digest

MAX_POOL = 512

Seed = tuple[str, str]  # prompt_id, response


@dataclass(frozen=True, slots=True)
class SeedPool:
    """A pool as a run keeps it: fixed when a stage begins, so that resuming changes nothing."""

    seeds: tuple[Seed, ...]


def pool_of(findings: Iterable[Finding]) -> tuple[Seed, ...]:
    """Best margin first, near-duplicates left out: a start like one that failed is no new start."""
    ordered = sorted(findings, key=lambda f: (-f.margin, f.finding_id))
    stands_for = near_duplicates(ordered)
    different = [f for f in ordered if stands_for[f.finding_id] == f.finding_id]
    return tuple((f.prompt_id, f.response) for f in different[:MAX_POOL])


def pool_digest(pool: Sequence[Seed]) -> str:
    return digest([list(seed) for seed in pool])
