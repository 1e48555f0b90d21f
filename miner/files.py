"""Files that several processes may be reading and writing: each is replaced in one step, never half written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from corpus.durable import remove_stale_temporaries
from corpus.publishing import replace_file
from miner.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")


def replace_bytes(path: Path, content: bytes) -> Path:
    """``content`` as the whole content of ``path``, its folder made where it lacks; see ``replace_file``."""
    remove_stale_temporaries(path.parent)
    replace_file(path, content)
    return path


def replace_text(path: Path, text: str) -> Path:
    """``text`` as the whole content of ``path``, in UTF-8 and with the line breaks it has."""
    return replace_bytes(path, text.encode("utf-8"))


def require_writable(folder: Path) -> None:
    """Refuse a folder that could not be made or written to.

    Raises:
        ConfigError: it is a file, lies in one, or the system forbids writing there.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise ConfigError(f"--out {folder}: {existing} is a file, not a folder; name another folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(f"--out {folder}: {existing} cannot be written to; name another folder")


def replace_table(path: Path, table: pa.Table) -> Path:
    """``table`` as a Parquet file whose pages carry checksums."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", compression_level=15, write_page_checksum=True)
    return replace_bytes(path, sink.getvalue().to_pybytes())


def read_stored(path: Path, kind: type[T], what: str) -> T | None:
    """The dataclass ``kind`` that the JSON file holds; None where there is no file.

    Raises:
        DataError: it cannot be read, or is not ``what`` of this version.
    """
    from pydantic import TypeAdapter, ValidationError

    if not path.exists():
        return None
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        raise DataError(f"{path} is not {what} of this version: {error.errors()[0]['msg']}") from error


def read_rows(path: Path, kind: type[T], expected: str) -> list[T]:
    """The rows of a JSONL file as ``kind`` (a dataclass or pydantic model), in order; empty lines are left out.

    Raises:
        DataError: no such file, not UTF-8, or a row that is not as ``expected`` (its line is named).
    """
    from pydantic import TypeAdapter, ValidationError

    adapter, rows = TypeAdapter(kind), []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}. Expected JSONL, one {expected} a line") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                rows.append(adapter.validate_json(line))
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(map(str, first["loc"]))
                raise DataError(
                    f"{path}, line {number}: expected {expected}; {f'{where}: ' if where else ''}{first['msg']}"
                ) from error
    return rows
