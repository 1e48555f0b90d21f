"""The suite: what every RM is put through. A change of it is a new version, and results of two are not compared."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """``attacks`` with their default hyper-parameters, on ``prompts`` held-out prompts, ``seeds`` times each."""

    version: str
    attacks: tuple[str, ...]
    prompts: int
    budget_queries: int
    seeds: int


SUITE = Suite(version="1", attacks=("gcg", "random", "corrupt"), prompts=24, budget_queries=1024, seeds=1)
