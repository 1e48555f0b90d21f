"""What is in a corpus, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from corpus.duplicates import near_duplicates
from corpus.rows import record_of
from corpus.scan import scan, stable_listing
from corpus.schema import TABLES

_FINDING_COLUMNS = ("attack", "family", "form", "kind", "round", "split", "rm_fingerprint")


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusStats:
    """Counts. ``findings_by`` and ``attempts_by`` map a column to its values' counts, most frequent first."""

    rows: Mapping[str, int]
    segments: Mapping[str, int]
    bytes: int
    findings_by: Mapping[str, Mapping[str, int]]
    attempts_by: Mapping[str, Mapping[str, int]]
    near_duplicate_groups: int

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return asdict(self)


def corpus_stats(root: Path) -> CorpusStats:
    """The counts of the corpus under ``root``, all zero if there is none."""
    sizes = {name: _segment_sizes(root / name) for name in TABLES}
    findings = scan(root / "findings", TABLES["findings"])
    attempts = scan(root / "attempts", TABLES["attempts"], ("attack", "family", "round", "split", "outcome"))
    records: Any = [record_of(TABLES["findings"], row) for row in findings.to_pylist()]
    keys = {name: TABLES[name].key for name in ("prompts", "queries", "reviews")}
    return CorpusStats(
        rows={
            "findings": len(findings),
            "attempts": len(attempts),
            **{name: len(scan(root / name, TABLES[name], key)) for name, key in keys.items()},
        },
        segments={name: len(segments) for name, segments in sizes.items()},
        bytes=sum(sum(segments) for segments in sizes.values()),
        findings_by={name: _counts(findings.column(name).to_pylist()) for name in _FINDING_COLUMNS},
        attempts_by={name: _counts(attempts.column(name).to_pylist()) for name in attempts.column_names},
        near_duplicate_groups=len(set(near_duplicates(records).values())),
    )


def _counts(values: list[Any]) -> dict[str, int]:
    return {str(value): count for value, count in Counter(values).most_common()}


def _segment_sizes(folder: Path) -> list[int]:
    sizes = []
    for name in stable_listing(folder):
        try:
            sizes.append((folder / name).stat().st_size)
        except FileNotFoundError:
            continue  # compacted away since it was listed
    return sizes
