"""Rows of one prompt brought together, and a count of every row that is not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from corpus.records import Conversation, Prompt, Split, conversation_id
from miner.data.cells import ABSENT, lookup, value_at
from miner.data.columns import ColumnMapping
from miner.data.messages import shown, valid_text
from miner.data.preferences import Preference, read_row
from miner.data.responses import Reading
from miner.data.rows import MEANT, Reason, Row, UnusableRowError
from miner.data.splits import default_group_key

HOPELESS_ROWS = 1000  # none of the first so many is usable: no more are read


@dataclass(slots=True)
class Gathered:
    """What the rows read so far say about one prompt; the rejected keys are an ordered set."""

    conversation: Conversation
    group_key: str
    reference: str | None = None
    rejected: dict[str, None] = field(default_factory=dict)
    scored: list[tuple[float, str]] | None = None

    def add(self, preference: Preference) -> int:
        """Take in one more row; the good answers that are not used."""
        self.rejected.update(dict.fromkeys(preference.rejected))
        if preference.score is not None and preference.chosen is not None:
            self.scored = [*(self.scored or []), (preference.score, preference.chosen)]
            return 0
        spare = preference.n_spare
        if self.reference is None:
            self.reference = preference.chosen
        elif preference.chosen not in (None, self.reference):
            spare += 1
        return spare

    def settle(self) -> tuple[int, int]:
        """Where rows carry scores, the best is the reference and those strictly below it are rejected; how many are
        neither, and how many have none to be compared with: not known to be good."""
        if not self.scored:
            return 0, 0
        top = max(score for score, _ in self.scored)
        best = list(dict.fromkeys(text for score, text in self.scored if score == top))
        below = sorted((one for one in self.scored if one[0] < top), key=lambda one: -one[0])
        if not below:
            return 0, len(best)
        self.reference = best[0]
        self.rejected.update(dict.fromkeys(text for _, text in below))
        return len(best) - 1, 0

    def prompt(self, split: Split) -> Prompt:
        return Prompt(
            conversation=self.conversation,
            reference=self.reference,
            rejected=tuple(text for text in self.rejected if text != self.reference),
            group_key=self.group_key,
            split=split,
        )


@dataclass(slots=True)
class LoadTally:
    """What became of the rows read so far. ``lacking`` are the mapped paths that no row has had yet."""

    lacking: set[str]
    rows: int = 0
    regrouped: int = 0
    spare: int = 0
    uncompared: int = 0
    echoes: int = 0
    json: int = 0
    left_out: dict[Reason, tuple[int, UnusableRowError]] = field(default_factory=dict)

    @property
    def used(self) -> int:
        return self.rows - sum(n for n, _ in self.left_out.values())

    @property
    def is_hopeless(self) -> bool:
        lost = sum(n for reason, (n, _) in self.left_out.items() if reason not in MEANT)
        return self.rows >= HOPELESS_ROWS and lost == self.rows

    def leave_out(self, error: UnusableRowError) -> None:
        n, first = self.left_out.get(error.reason, (0, error))
        self.left_out[error.reason] = (n + 1, first)
        self.rows += 1


def gather(
    rows: Iterable[Row | UnusableRowError], reading: Reading, limit: int | None
) -> tuple[list[Gathered], LoadTally]:
    """The prompts of ``rows``, at most ``limit``: reading stops at the first row of one more."""
    found: dict[str, Gathered] = {}
    tally = LoadTally(lacking=set(reading.mapping.used))
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
        if key not in found and len(found) == limit:
            break
        one = found.setdefault(key, Gathered(preference.conversation, group_key))
        tally.regrouped += one.group_key != group_key
        tally.spare += one.add(preference)
        tally.echoes += preference.echoes
        tally.json += preference.is_json
        tally.rows += 1
    for one in found.values():
        spare, uncompared = one.settle()
        tally.spare += spare
        tally.uncompared += uncompared
    return list(found.values()), tally


def _group_key(row: Row, mapping: ColumnMapping, preference: Preference) -> str:
    if mapping.group is None:
        return default_group_key(preference.conversation)
    value = value_at(row.values, mapping.group)
    where = f"{row.where}, column {mapping.group!r}"
    if not isinstance(value, (str, int)) or isinstance(value, bool) or value == "":
        detail = f"expected text or a whole number to group by; got {shown(value)}"
        raise UnusableRowError(Reason.GROUP, where, detail)
    return valid_text(str(value), where)
