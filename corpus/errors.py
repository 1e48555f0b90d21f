"""Every way the corpus can refuse. Messages say what was got, what was expected and what to do."""

from __future__ import annotations


class CorpusError(Exception):
    """The root of the corpus's errors; ``exit_status`` is what a command line should end with."""

    exit_status = 2


class InvalidRecordError(CorpusError):
    """A record that cannot be stored as it is (invalid Unicode, wrong type, missing value)."""


class CorpusReadError(CorpusError):
    """The corpus could not be read, though no segment is known to be damaged."""


class CorpusWriteError(CorpusError):
    """A segment could not be published. Everything acknowledged before is intact."""


class DamagedSegmentError(CorpusError):
    """A segment's bytes are not the bytes that were published."""


class SchemaVersionError(CorpusError):
    """A segment was written by a newer rmminer."""


class QueryError(CorpusError):
    """An SQL query that failed, or that asked for more than reading the corpus."""


class ExportError(CorpusError):
    """An export that would overwrite something, or that has nothing to write."""


class ImportRowsError(CorpusError):
    """A source of rows that is neither a corpus nor JSONL of full finding rows."""
