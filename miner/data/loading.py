"""Preference data as prompts: rows of the same prompt merged, split by group before anything else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from miner.data.columns import ColumnMapping, require_columns
from miner.data.gathering import Gathering, LoadTally, gather
from miner.data.pairs import PairColumns, Pairs
from miner.data.preferences import MEDIA, MEDIA_COLUMNS
from miner.data.prompts import SPLITS, Prompts
from miner.data.recognition import Recognised, decoded, recognise, unread
from miner.data.report import LoadReport, described, left_out_of, refuse_losses
from miner.data.responses import Reading
from miner.data.rows import Row, Source, UnusableRowError
from miner.data.sources import open_source
from miner.data.splits import SplitFractions, split_of
from miner.errors import ConfigError, DataError

EXAMPLE_ROWS = 256
MAX_LEFT_OUT = 0.05


@dataclass(frozen=True, slots=True)
class PreferenceData:
    """Prompts in the order of their first rows, and what was left out."""

    prompts: Prompts
    report: LoadReport


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRules:
    """What is done with rows that are not plain pairs of text.

    ``max_left_out`` is the share of the rows that may be left out. ``calls_as_text`` shows tool calls as JSON text
    instead of leaving their rows out; ``keep_json_text`` takes cells of JSON text for the texts themselves.
    """

    max_left_out: float = MAX_LEFT_OUT
    calls_as_text: bool = False
    keep_json_text: bool = False


def read_preferences(
    source: str | Path,
    *,
    columns: ColumnMapping | None = None,
    hub_split: str = "train",
    limit: int | None = None,
    split_fractions: SplitFractions | None = None,
    split_salt: str = "",
    rules: RowRules | None = None,
) -> PreferenceData:
    """Read a file, a folder of files, a ``datasets`` folder or a hub id; each distinct prompt once.

    The first chosen response is a prompt's reference; the rejected ones of all its rows are kept in order. Without
    ``columns`` the layout is recognised from the rows (``miner.data.layouts``). A row that cannot be used is left out
    and counted. ``limit`` is a number of prompts: reading stops at the first row of one more.

    Raises:
        DataError: unreadable data, a column that no row has, more rows to leave out than ``rules`` allow, or not one
            usable row; with file and line.
        ConfigError: ``limit`` below 1.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is a number of prompts, at least 1; got {limit}")
    rules = rules or RowRules()
    opened = open_source(source, hub_split)
    seen, recognised, gathered, tally = _read(opened, columns, limit, rules)
    if columns is not None:
        require_columns(recognised.mapping, tally.lacking, seen.columns, opened.name)
    if gathered is None:
        raise DataError(f"{opened.name}: none of {tally.rows} rows is usable: {described(left_out_of(tally.left_out))}")
    refuse_losses(opened.name, tally.rows, left_out_of(tally.left_out), rules.max_left_out)
    fractions = split_fractions or SplitFractions()
    prompts = gathered.prompts(lambda key: split_of(key, fractions, split_salt))
    return PreferenceData(prompts, _report(opened.name, recognised, seen, tally, gathered, prompts, rules))


@dataclass(slots=True)
class _Seen:
    """The columns met so far, and rows that show them: the first ones, and the first with each later column."""

    columns: dict[str, None] = field(default_factory=dict)
    examples: list[Mapping[str, Any]] = field(default_factory=list)
    _keys: Any = ()

    def watch(self, rows: Iterable[Row | UnusableRowError | Pairs]) -> Iterator[Any]:
        for row in rows:
            if isinstance(row, Row) and row.values.keys() != self._keys:
                self._keys = row.values.keys()
                if not self.columns.keys() >= self._keys:
                    self.columns.update(dict.fromkeys(self._keys))
                    self.examples.append(row.values)
            yield row


def _read(
    opened: Source, columns: ColumnMapping | None, limit: int | None, rules: RowRules
) -> tuple[_Seen, Recognised, Gathering | None, LoadTally]:
    """The rows, read as the first ones look; read again where later ones have columns that change that."""
    with closing(opened.rows()) as rows:
        head = list(islice(rows, EXAMPLE_ROWS))
    seen = _Seen(examples=[row.values for row in head if isinstance(row, Row)])
    for values in seen.examples:
        seen.columns.update(dict.fromkeys(values))
    if not seen.examples:
        _refuse_unreadable(opened.name, head)
    recognised = _recognised(seen, columns, opened.name, rules)
    while True:
        n_known = len(seen.columns)
        gathered, tally = _pass(opened, recognised, seen, limit, rules)
        if columns is not None or len(seen.columns) == n_known:
            return seen, recognised, gathered, tally
        again = _recognised(seen, columns, opened.name, rules)
        if again.mapping == recognised.mapping:
            return seen, recognised, gathered, tally
        recognised = again


def _recognised(seen: _Seen, columns: ColumnMapping | None, name: str, rules: RowRules) -> Recognised:
    return recognise(seen.examples, columns, name, keep_json_text=rules.keep_json_text)


def _pass(
    opened: Source, recognised: Recognised, seen: _Seen, limit: int | None, rules: RowRules
) -> tuple[Gathering | None, LoadTally]:
    mapping = recognised.mapping
    rating = (name for name in (mapping.score, mapping.rank) if name)
    wanted = None if recognised.regroup else (*mapping.used, *rating, *MEDIA_COLUMNS)
    reading = Reading(mapping=mapping, calls_as_text=rules.calls_as_text, keep_json_text=rules.keep_json_text)
    if recognised.regroup or recognised.json_columns or mapping.group or not MEDIA.isdisjoint(seen.columns):
        pairs = None
    else:
        pairs = reading.pair and PairColumns(reading.pair, seen.columns)
    with closing(opened.rows(wanted, pairs)) as rows:
        read = seen.watch(rows)
        if recognised.json_columns:
            read = decoded(read, recognised.json_columns)
        return gather(recognised.regroup(read) if recognised.regroup else read, reading, limit)


def _refuse_unreadable(name: str, head: list[Row | UnusableRowError | Pairs]) -> None:
    faults = [row for row in head if isinstance(row, UnusableRowError)]
    if not faults:
        raise DataError(f"{name}: the file is empty; expected rows of preference data")
    raise DataError(f"{name}: none of the first {len(faults)} rows is one (first: {faults[0]})")


def _report(
    name: str,
    recognised: Recognised,
    seen: _Seen,
    tally: LoadTally,
    gathered: Gathering,
    prompts: Prompts,
    rules: RowRules,
) -> LoadReport:
    return LoadReport(
        source=name,
        rows=tally.rows,
        used=tally.used,
        left_out=left_out_of(tally.left_out),
        contradictions=tally.contradictions,
        regrouped=tally.regrouped,
        spare=tally.spare,
        uncompared=tally.uncompared,
        echoes=tally.echoes,
        json_answers=0 if rules.keep_json_text else tally.json,
        groups=len(gathered.groups),
        prompts_by_split={split: len(prompts.in_split(split)) for split in SPLITS},
        read_as=recognised.name,
        columns=str(recognised.mapping),
        json_columns=tuple(sorted(recognised.json_columns)),
        unread=() if recognised.regroup else tuple(unread(recognised.mapping, list(seen.columns))),
        remark=recognised.remark,
    )
