"""SQL over the corpus, in memory: it can read the tables and nothing else."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa

from corpus.errors import QueryError
from corpus.scan import scan
from corpus.schema import TABLES

_SETTINGS = (
    "SET python_enable_replacements = false",
    "SET TimeZone = 'UTC'",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)


def run_query(root: Path, sql: str) -> pa.Table:
    """The rows that a SELECT over the tables of the corpus gives.

    Raises:
        QueryError: from DuckDB, among others when the query reaches for a file or the network.
    """
    with duckdb.connect(":memory:") as connection:
        for name, spec in TABLES.items():
            if name in sql.lower():
                connection.register(name, scan(root / name, spec))
        try:
            for setting in _SETTINGS:
                connection.execute(setting)
            relation = connection.sql(sql)
            if relation is None:
                raise QueryError("that statement gives no rows; expected a SELECT over: " + ", ".join(TABLES))
            return relation.to_arrow_table()
        except duckdb.Error as error:
            raise QueryError(f"{error}\nTables: {', '.join(TABLES)}. Their columns: DESCRIBE findings") from error
