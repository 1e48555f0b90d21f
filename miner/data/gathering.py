"""Rows of one prompt brought together, and a count of every row that is not."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from corpus.records import Conversation, Message, Split, conversation_id
from miner.data.cells import ABSENT, lookup, value_at
from miner.data.columns import ColumnMapping
from miner.data.messages import shown, valid_text
from miner.data.pairs import Pairs
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


@dataclass(slots=True)
class _Numbering:
    """Prompts and groups by number, in the order in which they are met; at most ``limit`` prompts."""

    limit: int | None
    prompts: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    group_of: array[int] = field(default_factory=lambda: array("q"))
    prompt_of: array[int] = field(default_factory=lambda: array("q"))

    def take(self, conversation: Conversation, group_key: str | None = None) -> bool:
        """Number one more row's prompt, under the default group key unless another is given; False: it is too many."""
        key = conversation_id(conversation)
        number = self.prompts.get(key)
        if number is None:
            if len(self.prompts) == self.limit:
                return False
            number = self.prompts[key] = len(self.prompts)
            group_key = default_group_key(conversation) if group_key is None else group_key
            self.group_of.append(self.groups.setdefault(group_key, len(self.groups)))
        self.prompt_of.append(number)
        return True


def gather(
    rows: Iterable[Row | UnusableRowError | Pairs], reading: Reading, limit: int | None
) -> tuple[Gathering | None, LoadTally]:
    """The prompts of ``rows``, at most ``limit``: reading stops at the first row of one more. None: there are none."""
    tally, numbering = LoadTally(lacking=set(reading.mapping.used)), _Numbering(limit)
    with RowWriter() as writer:
        for row in rows:
            is_last = (
                _is_last_of_pairs(row, numbering, writer, tally)
                if isinstance(row, Pairs)
                else _is_last(row, reading, numbering, writer, tally)
            )
            if is_last:
                break
        if not numbering.prompts:
            return None, tally
        found = GatheredRows.of(writer.store(), np.array(numbering.prompt_of))
    several = np.arange(len(numbering.prompts)) if tally.is_scored else np.flatnonzero(found.n_rows > 1)
    for one in found.read(several):
        tally.spare += one.spare
        tally.uncompared += one.uncompared
        tally.contradictions += one.contradicts_itself
    return Gathering(found, tuple(numbering.groups), np.array(numbering.group_of)), tally


def _is_last(
    row: Row | UnusableRowError, reading: Reading, numbering: _Numbering, writer: RowWriter, tally: LoadTally
) -> bool:
    """Takes in one row; whether no more are to be read."""
    try:
        if isinstance(row, UnusableRowError):
            raise row
        if tally.lacking:
            tally.lacking = {name for name in tally.lacking if lookup(row.values, name) is ABSENT}
        preference = read_row(row, reading)
        group_key = _group_key(row, reading.mapping, preference)
    except UnusableRowError as error:
        tally.leave_out(error)
        return tally.is_hopeless
    n_before = len(numbering.prompts)
    if not numbering.take(preference.conversation, group_key):
        return True
    tally.regrouped += numbering.groups.get(group_key) != numbering.group_of[numbering.prompt_of[-1]]
    writer.add(preference.conversation if len(numbering.prompts) > n_before else (), preference)
    tally.take(preference)
    return False


def _is_last_of_pairs(pairs: Pairs, numbering: _Numbering, writer: RowWriter, tally: LoadTally) -> bool:
    """``_is_last`` of rows side by side."""
    n_taken = 0
    for text in pairs.prompts.to_pylist():
        if not numbering.take((Message(role="user", content=text),)):
            break
        n_taken += 1
    writer.add_pairs(pairs.head(n_taken))
    tally.rows += n_taken
    tally.lacking.clear()
    return n_taken < len(pairs)


def _group_key(row: Row, mapping: ColumnMapping, preference: Preference) -> str:
    if mapping.group is None:
        return default_group_key(preference.conversation)
    value = value_at(row.values, mapping.group)
    where = f"{row.where}, column {mapping.group!r}"
    if not isinstance(value, (str, int)) or isinstance(value, bool) or value == "":
        detail = f"expected text or a whole number to group by; got {shown(value)}"
        raise UnusableRowError(Reason.GROUP, where, detail)
    return valid_text(str(value), where)
