"""The suite: what every RM is put through. A change of it is a new version, and results of two are not compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from attacks.universal import Universal

UNIVERSAL = Universal.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """``attacks`` with their default hyper-parameters, on ``prompts`` held-out prompts, ``seeds`` times each.

    One text for many prompts is searched for with ``universal_queries`` (0: none) on held-out prompts of its own.
    """

    version: str
    attacks: tuple[str, ...]
    prompts: int
    budget_queries: int
    seeds: int
    universal_queries: int = 0

    def sections(self) -> list[dict[str, Any]]:
        """The attacks as a campaign file has them."""
        found: list[dict[str, Any]] = [{"name": name} for name in self.attacks]
        if self.universal_queries:
            found.append({"name": UNIVERSAL, "budget_queries": self.universal_queries})
        return found

    @property
    def queries(self) -> int:
        """What attacking one RM takes at most, the reach of what is found left out."""
        return len(self.attacks) * self.prompts * self.seeds * self.budget_queries + self.universal_queries * self.seeds


SUITE = Suite(
    version="2",
    attacks=("gcg", "random", "corrupt"),
    prompts=24,
    budget_queries=1024,
    seeds=1,
    universal_queries=8192,
)
