"""Rows of one prompt brought together, and a count of every row that is not."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from corpus.records import Split, conversation_id
from miner.data.cells import ABSENT, lookup, value_at
from miner.data.columns import ColumnMapping
from miner.data.messages import shown, valid_text
from miner.data.preferences import Preference, read_row
from miner.data.prompts import SPLITS, GatheredRows, Prompts
from miner.data.responses import Reading
from miner.data.row_store import Numbers, RowWriter
from miner.data.rows import MEANT, Reason, Row, UnusableRowError
from miner.data.splits import default_group_key

HOPELESS_ROWS = 1000  # none of the first so many is usable: no more are read


@dataclass(slots=True)
class LoadTally:
    """What became of the rows read so far. ``lacking`` are the mapped paths that no row has had yet."""

    lacking: set[str]
    rows: int = 0
    regrouped: int = 0
    spare: int = 0
    uncompared: int = 0
    contradictions: int = 0
    echoes: int = 0
    json: int = 0
    is_scored: bool = False
    left_out: dict[Reason, tuple[int, UnusableRowError]] = field(default_factory=dict)

    @property
    def used(self) -> int:
        return self.rows - sum(n for n, _ in self.left_out.values())

    @property
    def is_hopeless(self) -> bool:
        lost = sum(n for reason, (n, _) in self.left_out.items() if reason not in MEANT)
        return self.rows >= HOPELESS_ROWS and lost == self.rows

    def take(self, preference: Preference) -> None:
        self.rows += 1
        self.spare += preference.n_spare
        self.echoes += preference.echoes
        self.json += preference.is_json
        self.is_scored |= preference.score is not None

    def leave_out(self, error: UnusableRowError) -> None:
        n, first = self.left_out.get(error.reason, (0, error))
        self.left_out[error.reason] = (n + 1, first)
        self.rows += 1


@dataclass(frozen=True, slots=True)
class Gathering:
    """The ``rows`` by prompt, every group's key, and the group of each prompt."""

    rows: GatheredRows
    groups: tuple[str, ...]
    group_of: Numbers

    def prompts(self, split_of: Callable[[str], Split]) -> Prompts:
        import pyarrow as pa

        splits = np.array([SPLITS.index(split_of(key)) for key in self.groups], dtype=np.int8)
        return Prompts(self.rows, pa.array(self.groups), splits, self.group_of, np.arange(len(self.group_of)))


def gather(
    rows: Iterable[Row | UnusableRowError], reading: Reading, limit: int | None
) -> tuple[Gathering | None, LoadTally]:
    """The prompts of ``rows``, at most ``limit``: reading stops at the first row of one more. None: there are none."""
    tally = LoadTally(lacking=set(reading.mapping.used))
    with RowWriter() as writer:
        found = _written(rows, reading, limit, writer, tally)
    if found is None:
        return None, tally
    several = np.arange(len(found.group_of)) if tally.is_scored else np.flatnonzero(found.rows.n_rows > 1)
    for one in found.rows.read(several):
        tally.spare += one.spare
        tally.uncompared += one.uncompared
        tally.contradictions += one.contradicts_itself
    return found, tally


def _written(
    rows: Iterable[Row | UnusableRowError], reading: Reading, limit: int | None, writer: RowWriter, tally: LoadTally
) -> Gathering | None:
    numbers: dict[str, int] = {}
    groups: dict[str, int] = {}
    prompt_of, group_of = array("q"), array("q")
    for row in rows:
        try:
            if isinstance(row, UnusableRowError):
                raise row
            if tally.lacking:
                tally.lacking = {name for name in tally.lacking if lookup(row.values, name) is ABSENT}
            preference = read_row(row, reading)
            group_key = _group_key(row, reading.mapping, preference)
        except UnusableRowError as error:
            tally.leave_out(error)
            if tally.is_hopeless:
                break
            continue
        key = conversation_id(preference.conversation)
        number = numbers.get(key)
        if number is None:
            if len(numbers) == limit:
                break
            number = numbers[key] = len(numbers)
            group_of.append(groups.setdefault(group_key, len(groups)))
            writer.add(preference.conversation, preference)
        else:
            tally.regrouped += groups.get(group_key) != group_of[number]
            writer.add((), preference)
        prompt_of.append(number)
        tally.take(preference)
    if not numbers:
        return None
    return Gathering(GatheredRows.of(writer.store(), np.array(prompt_of)), tuple(groups), np.array(group_of))


def _group_key(row: Row, mapping: ColumnMapping, preference: Preference) -> str:
    if mapping.group is None:
        return default_group_key(preference.conversation)
    value = value_at(row.values, mapping.group)
    where = f"{row.where}, column {mapping.group!r}"
    if not isinstance(value, (str, int)) or isinstance(value, bool) or value == "":
        detail = f"expected text or a whole number to group by; got {shown(value)}"
        raise UnusableRowError(Reason.GROUP, where, detail)
    return valid_text(str(value), where)
