"""Writes the golden corpus of the current schema version; run once per version, committed, never run over again."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from corpus import Corpus
from corpus.records import SCHEMA_VERSION
from corpus.schema import TABLES
from scripts.drills import samples


def main() -> None:
    folder = Path(__file__).parent / "golden" / f"v{SCHEMA_VERSION}"
    if folder.exists():
        raise SystemExit(f"{folder} exists; golden files are kept forever")
    corpus = Corpus(folder)
    corpus.append(samples.finding(0), samples.attempt(0))
    corpus.append(samples.finding(0, reward=99.0), samples.finding(1, response=samples.HOSTILE, reference=None))
    corpus.compact()  # the first findings segment is a merged one
    failed = samples.attempt(2, outcome="error", error="boom", best_reward=None, queries_to_find=None)
    corpus.append(samples.finding(2, reference_reward=None), failed, samples.prompt(), samples.scored_query())
    expected = {name: [_plain(row) for row in corpus.table(name).to_pylist()] for name in TABLES}
    text = json.dumps(expected, indent=1, ensure_ascii=True)
    (folder / "expected.json").write_text(text + "\n", encoding="utf-8")


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in row.items()}


if __name__ == "__main__":
    main()
