"""Rows of a ``datasets`` dataset: a folder that ``save_to_disk`` wrote, or a hub id."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from miner.data.arrow_files import BATCH_ROWS, roots
from miner.data.pairs import PairColumns, Pairs, parts_of
from miner.data.rows import Row, UnusableRowError
from miner.errors import DataError


@dataclass(frozen=True, slots=True)
class DatasetSource:
    """A ``datasets.Dataset``, which lies memory-mapped on disk; rows count from 1. Media are not decoded."""

    name: str
    dataset: Any

    def rows(
        self, wanted: Sequence[str] | None = None, pairs: PairColumns | None = None
    ) -> Generator[Row | UnusableRowError | Pairs]:
        names = self.dataset.column_names
        columns = names if wanted is None else [name for name in names if name in roots(wanted)]
        number = 0
        if not columns:
            return
        for batch in self.dataset.select_columns(columns).with_format("arrow").iter(batch_size=BATCH_ROWS):
            for begin, end, plain in parts_of(batch, pairs):
                if plain is not None:
                    number += end - begin
                    yield plain
                    continue
                for values in batch.slice(begin, end - begin).to_pylist():
                    number += 1
                    yield Row(f"{self.name}, row {number}", values)


def is_saved(path: Path) -> bool:
    return any((path / name).exists() for name in ("state.json", "dataset_dict.json"))


def open_saved(path: Path, split: str) -> DatasetSource:
    """The dataset ``save_to_disk`` wrote to ``path``; ``split`` picks from several.

    Raises:
        DataError: the folder is damaged, or lacks the split.
    """
    import datasets

    try:
        loaded = datasets.load_from_disk(str(path))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: the saved dataset cannot be read: {error}") from error
    if not isinstance(loaded, datasets.DatasetDict):
        return DatasetSource(str(path), loaded)
    if split not in loaded:
        raise DataError(f"{path}: no split {split!r}; it has {', '.join(map(repr, loaded))}")
    return DatasetSource(f"{path} ({split})", loaded[split])


def open_hub(hub_id: str, split: str) -> DatasetSource:
    """A dataset of the hub, from its local cache where there; ``owner/name@revision`` pins it.

    Raises:
        DataError: unknown, out of reach or lacking the split.
    """
    import datasets

    name, _, revision = hub_id.partition("@")
    try:
        dataset = datasets.load_dataset(name, split=split, revision=revision or None)
    except (OSError, ValueError) as error:
        raise DataError(f"{hub_id}: neither a file here nor a readable dataset of the hub: {error}") from error
    return DatasetSource(f"{hub_id} ({split})", dataset)
