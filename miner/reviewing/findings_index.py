"""The findings of a corpus in DuckDB, searched and paged as the corpus grows."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

import duckdb

from corpus import Corpus
from corpus.records import Finding
from corpus.rows import record_of
from corpus.scan import first_published, read_segments
from corpus.schema import TABLES

SPEC = TABLES["findings"]
COLUMNS = tuple(SPEC.schema.names)
ORDERS = {"margin": "-margin", "newest": "-epoch_us(created_at)", "queries": "queries", "shortest": "length(response)"}
PAGE_ROWS = 50
EVERY_S = 2.0  # how old what is shown may be
KEPT_SEARCHES = 4
KEYS = ", ".join(f"{sql} AS by_{name}" for name, sql in ORDERS.items())

# prompt and reference stand in many rows: each is searched once
CONTEXT = (
    "lower(coalesce(reference, '') || ' ' || coalesce(array_to_string([turn.content for turn in prompt], ' '), ''))"
)
CONTEXT_KEY = f"hash({CONTEXT})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which findings: empty is any. ``text`` is looked for in response, reference and prompt."""

    attack: str = ""
    form: str = ""
    round: str = ""
    split: str = ""
    rm_fingerprint: str = ""
    text: str = ""

    def where(self) -> tuple[str, list[str]]:
        given = [(field.name, getattr(self, field.name)) for field in fields(self) if field.name != "text"]
        parts = [f"CAST({name} AS VARCHAR) = ?" for name, value in given if value]
        values = [value for _, value in given if value]
        if self.text:
            parts.append(
                "(contains(searched, lower(?)) OR finding_id = ? "
                "OR context IN (SELECT context FROM contexts WHERE contains(text, lower(?))))"
            )
            values += [self.text] * 3
        return " AND ".join(parts) or "true", values


class FindingsIndex:
    """All findings, each once; ``refresh`` takes in what was published since. Safe to share between threads.

    Errors of reading as ``corpus.scan.scan``.
    """

    def __init__(self, corpus: Corpus) -> None:
        self._folder = corpus.path / "findings"
        self._database = duckdb.connect(":memory:")
        self._segments: set[str] = set()
        self._lock = threading.RLock()
        self._read_at = 0.0
        self._counts: dict[Filters, int] = {}
        self._counted: dict[str, list[tuple[str, int]]] = {}
        self._searches: dict[Filters, str] = {}  # tables of the rows found, the newest last
        self._made = 0
        empty = first_published([], SPEC, COLUMNS)
        self._database.register("fresh", empty)
        self._database.execute(f"CREATE TABLE findings AS SELECT {_selected()} FROM fresh")
        self._database.execute(
            f"CREATE TABLE contexts AS SELECT {CONTEXT_KEY} AS context, {CONTEXT} AS text FROM fresh"
        )
        self.refresh()

    def refresh(self) -> None:
        """Take in what was published since the last time, unless that was just now."""
        with self._lock:
            if self._segments and time.monotonic() - self._read_at < EVERY_S:
                return
            segments = read_segments(self._folder, SPEC, COLUMNS, known=self._segments)
            self._read_at = time.monotonic()
            if not segments:
                return
            rows = first_published(list(segments.values()), SPEC, COLUMNS)
            self._database.register("fresh", rows)
            new = "WHERE finding_id NOT IN (SELECT finding_id FROM findings)" if self._segments else ""
            self._database.execute(f"INSERT INTO findings SELECT {_selected()} FROM fresh {new}")
            self._database.execute(
                f"INSERT INTO contexts SELECT DISTINCT {CONTEXT_KEY}, {CONTEXT} FROM fresh "
                f"WHERE {CONTEXT_KEY} NOT IN (SELECT context FROM contexts)"
            )
            self._database.unregister("fresh")
            self._segments.update(segments)
            self._counts.clear()
            self._counted.clear()
            while self._searches:
                self._forget_oldest()

    def count(self, filters: Filters = Filters()) -> int:
        with self._lock:
            if filters not in self._counts:
                table, where, values = self._rows_of(filters)
                found = self._database.execute(f"SELECT count(*) FROM {table} WHERE {where}", values).fetchall()
                self._counts[filters] = int(found[0][0])
            return self._counts[filters]

    def page(self, filters: Filters, order: str, page: int) -> list[Finding]:
        """The findings on a page, from 0, in one of ``ORDERS``; those of the second half are sought from the end."""
        with self._lock:
            count, start = self.count(filters), page * PAGE_ROWS
            n = max(0, min(PAGE_ROWS, count - start))
            way, skipped = ("DESC", max(0, count - start - n)) if 2 * start > count else ("ASC", start)
            table, where, values = self._rows_of(filters)
            number, key = ("rowid", ORDERS[order]) if table == "findings" else ("place", f"by_{order}")
            rowids = (
                f"SELECT {number} FROM {table} WHERE {where} ORDER BY {key} {way}, finding_id {way} "
                f"LIMIT {n} OFFSET {skipped}"
            )
            return list(self._stored(rowids, values, f" ORDER BY {ORDERS[order]}, finding_id").values())

    def _rows_of(self, filters: Filters) -> tuple[str, str, list[str]]:
        """The table that holds them, with condition and values: a search for text is made once, and its rows are kept
        until more is published."""
        where, values = filters.where()
        if not filters.text:
            return "findings", where, values
        if filters not in self._searches:
            if len(self._searches) == KEPT_SEARCHES:
                self._forget_oldest()
            self._made += 1
            self._searches[filters] = f"search_{self._made}"
            self._database.execute(
                f"CREATE TABLE search_{self._made} AS SELECT rowid AS place, finding_id, {KEYS} FROM findings "
                f"WHERE {where}",
                values,
            )
        return self._searches[filters], "true", []

    def _forget_oldest(self) -> None:
        self._database.execute(f"DROP TABLE {self._searches.pop(next(iter(self._searches)))}")

    def findings(self, ids: Sequence[str]) -> list[Finding]:
        """Those of these ids that there are, in their order."""
        found = self._stored("SELECT rowid FROM findings WHERE finding_id IN (SELECT unnest(?))", [list(ids)])
        return [found[one] for one in ids if one in found]

    def _stored(self, rowids: str, values: Sequence[Any], order: str = "") -> dict[str, Finding]:
        """The findings of a query for row numbers, by id: only of these rows all columns are read."""
        sql = f"SELECT {', '.join(COLUMNS)} FROM findings WHERE rowid IN ({rowids}){order}"
        with self._lock:
            rows = self._database.sql(sql, params=list(values)).to_arrow_table().to_pylist()
        return {row["finding_id"]: cast(Finding, record_of(SPEC, row)) for row in rows}

    def values(self, column: str) -> list[str]:
        """The values of a column, for people to choose from."""
        return sorted(value for value, _ in self.counts_by(column))

    def counts_by(self, column: str) -> list[tuple[str, int]]:
        """How many findings have each value, most frequent first."""
        if column not in self._counted:
            rows = self.rows(f"SELECT {column}, count(*) FROM findings GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 200")
            self._counted[column] = [(str(value), int(n)) for value, n in rows]
        return self._counted[column]

    def rows(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query of ours; what people type goes into ``values``."""
        with self._lock:
            return self._database.execute(sql, values).fetchall()


def _selected() -> str:
    return f"{', '.join(COLUMNS)}, lower(response) AS searched, {CONTEXT_KEY} AS context"
