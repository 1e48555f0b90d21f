"""What became of the rows, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from corpus.records import Split
from miner.data.rows import MEANT, Reason, UnusableRowError
from miner.errors import DataError

NAMES_SHOWN = 8
ECHOES = 0.5  # of the prompts: from here on it is a habit of the data


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """``rows`` left out for one reason, and what was wrong with the first of them and where."""

    reason: Reason
    rows: int
    first: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What became of the rows: ``rows`` = ``used`` + those left out.

    ``read_as`` is the layout that was recognised (None: the mapping was given), ``columns`` the mapping, ``unread`` the
    other columns. ``contradictions`` counts rejected responses dropped because they are their prompt's reference;
    ``regrouped`` rows whose prompt an earlier row had put in another group, where it stayed; ``spare`` good answers
    beyond their prompt's first, and unjudged ones; ``uncompared`` answers with a score and none beside them to compare
    it with; ``echoes`` rows whose responses begin with the prompt; ``json_answers`` rows with a response that is JSON.
    """

    source: str
    rows: int
    used: int
    left_out: tuple[LeftOut, ...]
    contradictions: int
    regrouped: int
    spare: int
    uncompared: int
    echoes: int
    json_answers: int
    groups: int
    prompts_by_split: Mapping[Split, int]
    read_as: str | None
    columns: str
    json_columns: tuple[str, ...]
    unread: tuple[str, ...]
    remark: str

    @property
    def skipped(self) -> dict[str, int]:
        """Rows left out by reason."""
        return {one.reason.value: one.rows for one in self.left_out}

    def notes(self) -> list[str]:
        """What a user wants to know of the reading, a line each."""
        return [line for line in (self._how(), self.remark, self._without(), *self._dropped()) if line]

    def facts(self) -> dict[str, Any]:
        """For the summary: the same, flat."""
        counts = {f"left out: {one.reason}": one.rows for one in self.left_out}
        more = {
            "rejected answers that are their prompt's reference": self.contradictions,
            "good or unjudged answers not used": self.spare,
            "answers with a score that nothing compares with": self.uncompared,
            "rows with an answer that is JSON": self.json_answers,
            "rows put in an earlier row's group": self.regrouped,
        }
        return {
            "read as": self.read_as or "columns as given",
            "columns": self.columns,
            "rows": self.rows,
            "rows used": self.used,
            **counts,
            **{name: n for name, n in more.items() if n},
        }

    def _how(self) -> str:
        json_text = f"; JSON text in {_names(self.json_columns)} is read" if self.json_columns else ""
        unread = f"; columns not read: {_names(self.unread)}" if self.unread else ""
        if self.read_as is None:
            return f"{json_text}{unread}".removeprefix("; ")
        return f"read as {self.read_as}; override with --set 'data.columns={self.columns}'{json_text}{unread}"

    def _without(self) -> str:
        n = self.rows - self.used
        return f"{n} of {self.rows} rows left out: {described(self.left_out)}" if n else ""

    def _dropped(self) -> list[str]:
        found = []
        if self.contradictions:
            found.append(f"{self.contradictions} rejected answers are elsewhere their prompt's good one; dropped")
        if self.spare:
            found.append(f"{self.spare} good or unjudged answers beyond the first of their prompt are not used")
        if self.uncompared:
            found.append(
                f"{self.uncompared} answers have a score, but none beside them with another: neither good nor bad, not "
                "used. Where all are good, map their column as chosen"
            )
        if self.json_answers:
            found.append(
                f"in {self.json_answers} of {self.used} rows an answer is JSON, which is scored as it stands; "
                "data.json_text=keep says that it is meant so"
            )
        if self.regrouped:
            found.append(f"{self.regrouped} rows name another group than an earlier row of their prompt, which counts")
        if self.echoes > ECHOES * self.used:
            found.append(
                f"in {self.echoes} of {self.used} rows every answer begins with its prompt: the RM reads the question "
                "twice. Where that is not meant, take it out of the answers"
            )
        if self.groups == 1 and sum(self.prompts_by_split.values()) > 1:
            found.append(ONE_GROUP.format(n=sum(self.prompts_by_split.values())))
        return found


ONE_GROUP = (
    "all {n} prompts share their first turn (or group) and so their split: the other splits are empty. Name a column "
    "that tells them apart: --set data.columns.group=…"
)


def described(left_out: tuple[LeftOut, ...]) -> str:
    return "; ".join(f"{one.rows} × {one.reason} (first: {one.first})" for one in left_out)


def refuse_losses(source: str, rows: int, left_out: tuple[LeftOut, ...], max_left_out: float) -> None:
    """Raises: DataError: more than this share of the rows is left out, ties that the data marks itself not counted."""
    lost = sum(one.rows for one in left_out if one.reason not in MEANT)
    if lost > max_left_out * rows:
        reasons = described(tuple(one for one in left_out if one.reason not in MEANT))
        raise DataError(
            f"{source}: {lost} of {rows} rows would be left out, more than data.max_left_out={max_left_out:g} of them: "
            f"{reasons}. To go on without them: --set data.max_left_out=1"
        )


def left_out_of(found: Mapping[Reason, tuple[int, UnusableRowError]]) -> tuple[LeftOut, ...]:
    return tuple(LeftOut(reason=reason, rows=n, first=str(first)) for reason, (n, first) in found.items())


def _names(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(map(repr, names[:NAMES_SHOWN])) + more
