"""What every attack is: fixed hyper-parameters and a search that yields queries."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from attacks.queries import Query, Search

Goal = Literal["first", "many", "together"]
"""When an attempt is done: at its first finding; never before its budget, for findings that differ; when one text is a
finding on each of its prompts."""


@dataclass(frozen=True, slots=True)
class Range:
    """The values of a hyper-parameter worth trying, both ends included; whole numbers where both ends are."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True, kw_only=True)
class Attack(ABC):
    """A search algorithm with fixed hyper-parameters, which are its fields (plain JSON values).

    ``family`` is what campaigns hold out of a patch (``patch.held_out_families``): attacks of one family find by one
    principle. ``needs`` are the query types that not every campaign can answer; one that cannot is refused before it
    starts. ``space`` is what tuning may change, ``goal`` when an attempt ends. ``library`` is a module that it imports
    and not every user has, by the name under which pip installs it. An ``adaptive`` one knows the RM before its patch,
    and is tried on patched RMs alone.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    needs: ClassVar[tuple[type[Query[Any]], ...]] = ()
    space: ClassVar[Mapping[str, Range]] = {}
    goal: ClassVar[Goal] = "first"
    library: ClassVar[str | None] = None
    adaptive: ClassVar[bool] = False

    @abstractmethod
    def search(self, seed: int) -> Search:
        """Yield queries, be sent their answers; return when there is nothing left to try.

        The driver closes the generator when the budget is spent or a finding stands, so nothing is kept for the end.
        """

    @property
    def prompts_per_attempt(self) -> int:
        """How many prompts one search is given."""
        return 1

    @property
    def min_budget(self) -> int:
        """Queries of a start and one whole step: with less there is no search."""
        return 1

    @property
    def params(self) -> dict[str, Any]:
        """The hyper-parameters, as stored with every attempt."""
        return dataclasses.asdict(self)
