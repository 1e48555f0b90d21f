"""The Parquet store of a mining campaign: immutable, content-named segments whose union is the state.

Importing this package imports no library; ``corpus.records`` stays free for those who only need the records.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from corpus.compaction import CompactionReport
    from corpus.duplicates import near_duplicates
    from corpus.errors import (
        CorpusError,
        CorpusReadError,
        CorpusWriteError,
        DamagedSegmentError,
        ExportError,
        ImportRowsError,
        InvalidRecordError,
        QueryError,
        SchemaVersionError,
    )
    from corpus.export import ExportFormat, ExportReport
    from corpus.following import Follower
    from corpus.importing import ImportReport
    from corpus.stats import CorpusStats
    from corpus.store import Corpus
    from corpus.verification import SegmentReport
    from corpus.writer import Writer

_MODULE_OF = {
    "CompactionReport": "corpus.compaction",
    "Corpus": "corpus.store",
    "CorpusError": "corpus.errors",
    "CorpusReadError": "corpus.errors",
    "CorpusStats": "corpus.stats",
    "CorpusWriteError": "corpus.errors",
    "DamagedSegmentError": "corpus.errors",
    "ExportError": "corpus.errors",
    "ExportFormat": "corpus.export",
    "ExportReport": "corpus.export",
    "Follower": "corpus.following",
    "ImportReport": "corpus.importing",
    "ImportRowsError": "corpus.errors",
    "InvalidRecordError": "corpus.errors",
    "QueryError": "corpus.errors",
    "SchemaVersionError": "corpus.errors",
    "SegmentReport": "corpus.verification",
    "Writer": "corpus.writer",
    "near_duplicates": "corpus.duplicates",
}

__all__ = [
    "CompactionReport",
    "Corpus",
    "CorpusError",
    "CorpusReadError",
    "CorpusStats",
    "CorpusWriteError",
    "DamagedSegmentError",
    "ExportError",
    "ExportFormat",
    "ExportReport",
    "Follower",
    "ImportReport",
    "ImportRowsError",
    "InvalidRecordError",
    "QueryError",
    "SchemaVersionError",
    "SegmentReport",
    "Writer",
    "near_duplicates",
]


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'corpus' has no attribute {name!r}")
