"""Rows that are pairs of plain texts, side by side: most rows of most data, read a block at a time.

What is taken here is what ``read_row`` would read in the same way; whatever may call for more than a look at its first
and last byte is left to it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


def _bytes(*ranges: range, without: bytes) -> Mask:
    held = np.zeros(256, dtype=bool)
    for one in ranges:
        held[one] = True
    held[list(without)] = False
    return held


MIN_RUN = 64
BEGINNINGS = _bytes(range(0x21, 0x7F), range(0xC3, 0xE1), range(0xE4, 0xF5), without=b'[{"')
"""First bytes of text that is no JSON and does not begin with space; of UTF-8 those with which no space begins."""
ENDS = _bytes(range(0x21, 0x7F), without=b":")
"""Last bytes of text that does not end with space, nor where an assistant is to answer."""


@dataclass(frozen=True, slots=True)
class PairColumns:
    """The columns of prompt, better and worse response. A block with a column that is not ``known`` is not taken."""

    names: tuple[str, str, str]
    known: Collection[str]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Consecutive rows as columns of text."""

    prompts: Any
    chosen: Any
    rejected: Any

    def __len__(self) -> int:
        return len(self.prompts)

    def head(self, n: int) -> Pairs:
        return Pairs(*(column[:n] for column in (self.prompts, self.chosen, self.rejected)))


def parts_of(batch: Any, wanted: PairColumns | None) -> Iterator[tuple[int, int, Pairs | None]]:
    """(begin, end, pairs) of each run of plain rows of a batch, and of the others between them: without pairs."""
    import pyarrow as pa

    names = () if wanted is None or not set(wanted.known).issuperset(batch.schema.names) else wanted.names
    texts = [batch.column(name) for name in names if name in batch.schema.names]
    if len(texts) < 3 or not all(one.type == pa.string() for one in texts):
        yield 0, batch.num_rows, None
        return
    if isinstance(batch, pa.Table):
        texts = [one.combine_chunks() for one in texts]
    plain = _in_runs(plain_rows(*texts))
    for begin, end in pairwise(_edges(plain)):
        yield begin, end, Pairs(*(one.slice(begin, end - begin) for one in texts)) if plain[begin] else None


def _edges(mask: Mask) -> list[int]:
    """Where runs of one value begin, and the end."""
    return [0, *(np.flatnonzero(np.diff(mask)) + 1).tolist(), len(mask)]


def _in_runs(plain: Mask) -> Mask:
    """``plain`` where it is so for ``MIN_RUN`` rows on end: shorter runs cost more side by side than one by one."""
    lengths = np.diff(_edges(plain))
    return plain & np.repeat(lengths >= min(MIN_RUN, len(plain)), lengths)


def plain_rows(prompts: Any, chosen: Any, rejected: Any) -> Mask:
    """Which rows of these arrays of strings are plain: each text for itself, responses that differ, and not all of the
    three alike in their first byte, as they are where responses repeat the prompt."""
    import pyarrow.compute as pc

    found = np.ones(len(prompts), dtype=bool)
    firsts = []
    for column in (prompts, chosen, rejected):
        offsets = np.frombuffer(column.buffers()[1], dtype=np.int32)[column.offset : column.offset + len(column) + 1]
        text = np.frombuffer(column.buffers()[2] or b"\0", dtype=np.uint8)
        first = text[np.minimum(offsets[:-1], len(text) - 1)]
        last = text[np.maximum(offsets[1:] - 1, 0)]
        found &= np.asarray(column.is_valid()) & (np.diff(offsets) > 0) & BEGINNINGS[first] & ENDS[last]
        firsts.append(first)
    differs = pc.fill_null(pc.not_equal(chosen, rejected), False)
    found &= np.asarray(differs) & ~((firsts[0] == firsts[1]) & (firsts[1] == firsts[2]))
    return found


def parsed_lines(data: bytes, n_lines: int, wanted: PairColumns) -> Any:
    """JSON lines as a table; None where Arrow's parser may read something else than the standard library's.

    That is where an object does not begin and end with its line, or where there are numbers out of range and structures
    of any depth.
    """
    import pyarrow as pa
    from pyarrow import json

    if not (data.startswith(b"{") and data.endswith(b"}\n") and data.count(b"}\n{") == n_lines - 1):
        return None
    try:
        if not data.isascii():
            data.decode()
        table = json.read_json(
            pa.BufferReader(data),
            read_options=json.ReadOptions(use_threads=False, block_size=len(data) + 1),
            parse_options=json.ParseOptions(explicit_schema=pa.schema([(name, pa.string()) for name in wanted.names])),
        )
    except (pa.ArrowException, UnicodeDecodeError):
        return None
    return table if table.num_rows == n_lines and all(map(_is_flat, table.columns)) else None


def _is_flat(column: Any) -> bool:
    from pyarrow import types

    kind = column.type
    if types.is_floating(kind):
        return bool(np.isfinite(column.drop_null().to_numpy()).all())
    return not types.is_nested(kind)
