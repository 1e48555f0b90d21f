"""Rows of preference data as they are read, whatever they come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Row:
    """One row; ``where`` says file and line for messages."""

    where: str
    values: Mapping[str, Any]


class Source(Protocol):
    """Rows under named columns, streamed."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def columns(self) -> tuple[str, ...]:
        """The columns of the first row."""

    def rows(self, wanted: Sequence[str]) -> Iterator[Row]:
        """Every row in order, with at least the ``wanted`` columns where the row has them."""
