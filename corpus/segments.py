"""One segment: an immutable Parquet file whose name says when it was published and what its bytes hash to.

``<published, ns since 1970, 20 digits>-<32 hex digits of the file's SHA-256>.parquet``: names sort in order of
publication, and every read checks the bytes against the name, so that no flipped bit goes unnoticed (page checksums
do not cover the footer).
"""

from __future__ import annotations

import errno
import hashlib
import re
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from corpus.durable import TEMPORARY_PREFIX, write_error
from corpus.errors import CorpusReadError, DamagedSegmentError, SchemaVersionError
from corpus.publishing import publish_bytes
from corpus.records import SCHEMA_VERSION
from corpus.schema import VERSION_KEY, VERSION_METADATA, TableSpec

SUFFIX = ".parquet"
# In merged segments only: the name (without suffix) of the segment that first published the row.
ORIGIN = "published_in"
_NAME = re.compile(r"(\d{20})-([0-9a-f]{32})\.parquet")


def publish_segment(folder: Path, table: pa.Table) -> Path:
    """Publishes the rows as one new segment, after every segment now in the folder.

    Raises:
        CorpusWriteError: no space, no permission; nothing is left behind.
    """
    content = encode(table)
    try:
        newest = max((published_ns(name) for name in segment_names(folder)), default=0)
    except OSError as error:
        raise write_error(folder, error) from error
    moment = max(time.time_ns(), newest + 1)
    return publish_bytes(folder, f"{moment:020d}-{_digest(content)}{SUFFIX}", content)


def segment_names(folder: Path) -> list[str]:
    """Names of the segments in a folder, oldest first; none if there is no folder."""
    try:
        names = [path.name for path in folder.iterdir() if path.name.endswith(SUFFIX)]
    except FileNotFoundError:
        return []
    return sorted(name for name in names if not name.startswith(TEMPORARY_PREFIX))


def published_ns(name: str) -> int:
    """When a segment was published by its own account; 0 for a file that is not named like a segment."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else 0


def encode(table: pa.Table) -> bytes:
    """The bytes of a segment. Written to memory: pyarrow deletes the path it is given when a write fails."""
    sink = pa.BufferOutputStream()
    metadata = {**(table.schema.metadata or {}), **VERSION_METADATA}
    pq.write_table(table.replace_schema_metadata(metadata), sink, compression="zstd", write_page_checksum=True)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def read_segment(path: Path, spec: TableSpec, columns: tuple[str, ...] | None = None) -> pa.Table:
    """The rows of one segment, with ``ORIGIN`` as the last column.

    Raises:
        FileNotFoundError: compaction has deleted it since it was listed.
        DamagedSegmentError: its bytes are not the ones that were published.
        SchemaVersionError: it was written by a newer rmminer.
        CorpusReadError: it may not be read.
    """
    content = _content(path)
    _check_digest(path, content)
    try:
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        _check_version(path, file.schema_arrow.metadata or {})
        stored = set(file.schema_arrow.names)
        wanted = columns or tuple(spec.schema.names)
        table = file.read(columns=[name for name in (*wanted, ORIGIN) if name in stored])
    except (pa.ArrowException, OSError) as error:
        raise _damage(path, str(error)) from error
    return _with_origin(_conformed(table, spec, wanted), table, path)


def _conformed(table: pa.Table, spec: TableSpec, columns: tuple[str, ...]) -> pa.Table:
    """The wanted columns in order; one that an older rmminer did not know yet is null."""
    fields = [spec.schema.field(name) for name in columns]
    stored = set(table.column_names)
    arrays = [
        table.column(field.name).cast(field.type) if field.name in stored else pa.nulls(len(table), field.type)
        for field in fields
    ]
    return pa.table(arrays, schema=pa.schema([field.with_nullable(True) for field in fields]))


def _with_origin(table: pa.Table, stored: pa.Table, path: Path) -> pa.Table:
    if ORIGIN in stored.column_names:
        return table.append_column(ORIGIN, stored.column(ORIGIN).cast(pa.string()))
    name = path.name.removesuffix(SUFFIX)
    return table.append_column(ORIGIN, pa.array([name] * len(table), pa.string()))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno == errno.EIO:
            raise _damage(path, "the disk cannot read it") from error
        raise CorpusReadError(f"cannot read {path}: {error.strerror}; check its permissions") from error


def _check_digest(path: Path, content: bytes) -> None:
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise _damage(path, "it is not named like a segment (<time>-<hash>.parquet)")
    if match[2] != _digest(content):
        raise _damage(path, f"its {len(content)} bytes do not hash to its name")


def _check_version(path: Path, metadata: dict[bytes, bytes]) -> None:
    text = metadata.get(VERSION_KEY, b"").decode(errors="replace")
    if not text.isdecimal():
        raise _damage(path, "it states no schema version")
    if int(text) > SCHEMA_VERSION:
        raise SchemaVersionError(
            f"{path} has schema version {text}; this rmminer reads up to {SCHEMA_VERSION}. "
            "Upgrade it: pip install -U rmminer"
        )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _damage(path: Path, what: str) -> DamagedSegmentError:
    return DamagedSegmentError(
        f"damaged segment {path}: {what}. Restore it from a copy, "
        "or set it aside with: rmminer corpus verify --quarantine"
    )
