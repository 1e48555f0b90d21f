"""Rows of preference data as they are read, whatever they come from, and why one is of no use."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from miner.data.pairs import PairColumns, Pairs
from miner.errors import DataError


class Reason(StrEnum):
    """Why a row is left out."""

    TIE = "labelled a tie"
    EQUAL = "the responses are equal"
    EMPTY = "the prompt or a response has no text"
    DIVERGING = "the conversations do not part at an answer to the user"
    NOTHING = "there is no prompt, or no response to read one from"
    ORDER = "the turns are no prompt and its answer"
    NO_TEXT = "a turn without text"
    TOOL_CALL = "a turn calls a tool"
    MEDIA = "it shows an image or something else that is no text"
    ROLE = "a role that is not known"
    LABEL = "a label or score without meaning"
    CELL = "a cell that is neither text nor turns"
    JSON_TEXT = "a cell of JSON text that cannot be read"
    UNICODE = "text that is not valid Unicode"
    MISSPELT = "a column that looks misspelt"
    GROUP = "nothing to group by"
    BROKEN = "not a row at all"


MEANT = frozenset({Reason.TIE})  # the data says so itself: no loss


class UnusableRowError(DataError):
    """One row that cannot be used; the others may be. The message names its place.

    ``is_cut``: a line that is no JSON by itself, but may begin some.
    """

    def __init__(self, reason: Reason, where: str, detail: str, *, is_cut: bool = False) -> None:
        super().__init__(f"{where}: {detail}")
        self.reason, self.is_cut = reason, is_cut


class Row(NamedTuple):
    """One row; ``where`` says file and line for messages."""

    where: str
    values: Mapping[str, Any]


class Source(Protocol):
    """Rows under named columns, streamed; can be read again from the start."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def rows(
        self, wanted: Sequence[str] | None = None, pairs: PairColumns | None = None
    ) -> Generator[Row | UnusableRowError | Pairs]:
        """Every row in order, or why it is none; with at least the ``wanted`` columns (None: all) where it has them.
        Rows that are plain in the columns of ``pairs`` may come side by side."""
