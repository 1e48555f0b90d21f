"""The corpus itself: a folder with one folder of segments per table, whose union is the state."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.compute as pc

from corpus.compaction import CompactionReport, compact_table
from corpus.errors import CorpusReadError
from corpus.export import TRAINING_SPLITS, ExportFormat, ExportReport, export_findings
from corpus.following import Follower, R
from corpus.importing import ImportReport, import_rows
from corpus.records import Attempt, Finding, Prompt, Review, ScoredQuery, Split
from corpus.rows import record_of
from corpus.scan import published_in, scan
from corpus.schema import TABLES, Record, TableSpec
from corpus.verification import SegmentReport, set_aside, verify_corpus
from corpus.working_copy import folders_in, located, shown
from corpus.writer import Writer

if TYPE_CHECKING:  # imported when used: DuckDB and rensa need not load to append and read
    from corpus.stats import CorpusStats


class Corpus:
    """Findings, attempts, prompts, queries and reviews under one folder or URL, made on the first append.

    There is no lock and no server: any number of writers, readers and a compactor may work at once, on any machine
    that sees the folder. Of an object store (``s3://bucket/run/corpus``) ``path`` is this machine's copy.
    """

    def __init__(self, path: str | Path, *, only: Mapping[str, Collection[str]] | None = None) -> None:
        """``only`` are by table the segments that count, as ``segments`` has given them: what others publish later
        changes nothing then."""
        self.path = located(path)
        self._only = {name: frozenset(names) for name, names in (only or {}).items()}
        if self.path.exists() and not self.path.is_dir():
            raise CorpusReadError(f"{self.path} is a file; a corpus is a folder")

    def __repr__(self) -> str:
        return f"Corpus({shown(self.path)!r})"

    def exists(self) -> bool:
        """Whether anything was ever appended here."""
        return not folders_in(self.path).isdisjoint(TABLES)

    def segments(self, *tables: str) -> dict[str, tuple[str, ...]]:
        """The segments published so far, by table (these, or all), each by the name it was published under: what
        ``Corpus(path, only=…)`` is a view of."""
        return {name: published_in(self.path / name, table_spec(name)) for name in tables or TABLES}

    def writer(self, *, flush_rows: int = 256, flush_seconds: float = 10.0) -> Writer:
        """A writer that publishes after this many rows or seconds, whichever comes first."""
        return Writer(self.path, flush_rows=flush_rows, flush_seconds=flush_seconds)

    def append(self, *records: Record) -> None:
        """Publishes these records; once this returns, they are durable."""
        with self.writer() as writer:
            writer.add(*records)

    def table(self, name: str) -> pa.Table:
        """A table's rows, each once: of rows with one id, the first published."""
        return self._scan(name)

    def findings(self) -> list[Finding]:
        """The findings, but for those that their own attempt disowns.

        Findings are published before their attempt. Where a kill came between, and the attempt was made again on
        another machine, it may have found another text: the first one is then nobody's.
        """
        return self._findings_in(self._owned(self._found_by_attempt()))

    def settled_findings(self) -> list[Finding]:
        """The findings that a stored attempt calls its own: without those of an attempt that is not ended, or not
        here."""
        ids_of = self._found_by_attempt()
        return [one for one in self._findings_in(self._owned(ids_of)) if one.attempt_id in ids_of]

    def attempts(self) -> list[Attempt]:
        return cast(list[Attempt], self._records("attempts"))

    def prompts(self) -> list[Prompt]:
        return cast(list[Prompt], self._records("prompts"))

    def queries(self) -> list[ScoredQuery]:
        return cast(list[ScoredQuery], self._records("queries"))

    def reviews(self) -> list[Review]:
        """What people answered, in order of publication."""
        return cast(list[Review], self._records("reviews"))

    def attempt_ids(self) -> frozenset[str]:
        """The attempts already stored: what a resumed campaign skips."""
        ids = self._scan("attempts", "attempt_id")
        return frozenset(ids.column("attempt_id").to_pylist())

    def follow(self, kind: type[R]) -> Follower[R]:
        """A reader of these records as they come in: every call of its ``news`` gives those added since the last."""
        (spec,) = (spec for spec in TABLES.values() if spec.record is kind)
        return Follower(self.path / spec.name, spec)

    def query(self, sql: str) -> pa.Table:
        """The rows of an SQL SELECT over findings, attempts, prompts, queries and reviews (DuckDB, in memory)."""
        from corpus.sql import run_query

        return run_query(self.path, sql)

    def stats(self) -> CorpusStats:
        """Counts of everything, and how many groups of near-duplicates there are."""
        from corpus.stats import corpus_stats

        return corpus_stats(self.path)

    def verify(self) -> list[SegmentReport]:
        """A report on every segment: its bytes against the hash in its name, its pages against their checksums."""
        return verify_corpus(self.path)

    def quarantine(self, reports: Iterable[SegmentReport] | None = None) -> list[Path]:
        """Sets the damaged segments (of these reports, or of a fresh ``verify``) aside; says where they are now."""
        return set_aside(self.path, self.verify() if reports is None else reports)

    def compact(self, *tables: str, target_bytes: int = 256 * 2**20) -> CompactionReport:
        """Merges small segments, of these tables or of all. Safe at any time, whoever reads, writes or compacts; a
        second run changes nothing."""
        reports = (compact_table(self.path / name, table_spec(name), target_bytes) for name in tables or TABLES)
        return sum(reports, CompactionReport())

    def export(
        self,
        fmt: ExportFormat,
        out: str | Path,
        *,
        splits: Sequence[Split] = TRAINING_SPLITS,
        margin: bool = False,
        without: Collection[str] = (),
    ) -> ExportReport:
        """Writes findings to a new folder that ``datasets.load_dataset`` loads: ``trl`` (pairs), or full rows.

        Only training findings unless told otherwise: held-out ones must not leak into training. Findings with the
        ids ``without``, and those that ``findings`` leaves out, are not written.
        """
        findings = self._owned(self._found_by_attempt())
        kept = findings.filter(pc.invert(pc.is_in(findings.column("finding_id"), pa.array(without, pa.string()))))
        report = export_findings(kept, fmt, Path(out), splits=splits, margin=margin)
        return replace(report, overruled=len(findings) - len(kept))

    def import_from(self, source: str | Path) -> ImportReport:
        """Adds the rows of another corpus, or of JSON lines as ``export("jsonl")`` writes them."""
        return import_rows(self.path, located(source))

    def _found_by_attempt(self) -> dict[str, Sequence[str] | None]:
        made = self._scan("attempts", "attempt_id", "finding_ids")
        return dict(zip(made.column("attempt_id").to_pylist(), made.column("finding_ids").to_pylist(), strict=True))

    def _owned(self, ids_of: Mapping[str, Sequence[str] | None]) -> pa.Table:
        """The rows of findings that their attempt, if it is among these, calls its own; attempts of older versions
        name none."""
        findings = self.table("findings")
        ids = zip(findings.column("attempt_id").to_pylist(), findings.column("finding_id").to_pylist(), strict=True)
        owned = [(named := ids_of.get(attempt)) is None or finding in named for attempt, finding in ids]
        return findings.filter(pa.array(owned, pa.bool_()))

    def _findings_in(self, rows: pa.Table) -> list[Finding]:
        return [cast(Finding, record_of(table_spec("findings"), row)) for row in rows.to_pylist()]

    def _scan(self, name: str, *columns: str) -> pa.Table:
        return scan(self.path / name, table_spec(name), columns or None, only=self._only.get(name))

    def _records(self, name: str) -> list[Record]:
        spec = table_spec(name)
        return [record_of(spec, row) for row in self.table(name).to_pylist()]


def table_spec(name: str) -> TableSpec:
    """The table of that name."""
    if name not in TABLES:
        raise CorpusReadError(f"no table {name!r}; there are: {', '.join(sorted(TABLES))}")
    return TABLES[name]
