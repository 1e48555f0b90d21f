"""Rows from one Parquet file, a batch at a time and only the columns asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from miner.data.rows import Row
from miner.errors import DataError

BATCH_ROWS = 256


@dataclass(frozen=True, slots=True)
class ParquetSource:
    """A Parquet file; rows count from 1."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    def columns(self) -> tuple[str, ...]:
        with self._open() as file:
            if file.metadata.num_rows == 0:
                raise DataError(f"{self.path}: the file has no rows")
            return tuple(file.schema_arrow.names)

    def rows(self, wanted: Sequence[str]) -> Iterator[Row]:
        import pyarrow as pa

        number = 0
        with self._open() as file:
            try:
                for batch in file.iter_batches(BATCH_ROWS, columns=list(wanted)):
                    for values in batch.to_pylist():
                        number += 1
                        yield Row(f"{self.path}, row {number}", values)
            except (pa.ArrowException, OSError) as error:
                raise DataError(f"{self.path}: torn or corrupt after row {number}: {error}") from error
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{self.path}: not valid UTF-8 in rows {number + 1} to {number + BATCH_ROWS}: {error.reason}"
                ) from error

    def _open(self) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.ParquetFile(self.path, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self.path}: not a readable Parquet file: {error}") from error
