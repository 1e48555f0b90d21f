"""Delta debugging, the ddmin algorithm (Zeller & Hildebrandt 2002, IEEE TSE 28(2), 183–200).

All candidates of one granularity are asked for together, so that they share a batch, and of those that pass the caller
may take any: the paper takes the first. What comes out is 1-minimal: without any single one of its pieces it fails.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from itertools import pairwise

Kept = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Subsets of the pieces, by index, the first ``n_parts`` of them parts and the rest complements of parts."""

    kept: tuple[Kept, ...]
    n_parts: int


def ddmin(n: int) -> Generator[Candidates, int | None, Kept]:
    """The pieces of ``n`` that are left; sent the index of a candidate that passes, or None where none does.

    That all pieces together pass is taken for granted. No candidate is empty.
    """
    kept, n_parts = tuple(range(n)), 2
    while len(kept) > 1:
        parts = _parts(kept, min(n_parts, len(kept)))
        complements = [_without(kept, part) for part in parts] if len(parts) > 2 else []  # of two, each is the other's
        passed = yield Candidates((*parts, *complements), len(parts))
        if passed is None:
            if len(parts) == len(kept):
                break
            n_parts = 2 * len(parts)
        elif passed < len(parts):
            kept, n_parts = parts[passed], 2
        else:
            kept, n_parts = complements[passed - len(parts)], max(len(parts) - 1, 2)
    return kept


def max_ddmin_queries(n: int) -> int:
    """What ddmin asks for at worst on ``n`` pieces, by the paper's bound."""
    return n * n + 3 * n


def _parts(kept: Kept, n: int) -> list[Kept]:
    bounds = [len(kept) * at // n for at in range(n + 1)]
    return [kept[start:end] for start, end in pairwise(bounds)]


def _without(kept: Kept, part: Kept) -> Kept:
    gone = set(part)
    return tuple(piece for piece in kept if piece not in gone)
