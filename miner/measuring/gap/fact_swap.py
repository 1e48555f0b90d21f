"""A true statement with one fact exchanged: no search, but an attempt like any other, kept in the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from attacks import Attack, Score, Search

FACTUAL_FAMILY = "factual"  # what its attempts find is no nonsense
QUERIES = 2  # the true statement and the false one


@dataclass(frozen=True, kw_only=True)
class FactSwap(Attack):
    """The true statement ``true`` and ``false``, in which ``swapped`` stands for ``original``.

    ``kind`` is the fact's, ``proof`` what shows that the second statement is false.
    """

    name: ClassVar[str] = "fact_swap"
    family: ClassVar[str] = FACTUAL_FAMILY

    kind: str
    original: str
    swapped: str
    true: str
    false: str
    proof: str

    def search(self, seed: int) -> Search:
        del seed
        yield Score((self.true, self.false))
