"""A folder of data files, or a zip archive of them, as one source."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from miner.data.packed import DataFile
from miner.data.rows import Row, Source, UnusableRowError
from miner.errors import DataError

DATA_SUFFIXES = (
    ".json", ".jsonl", ".ndjson", ".parquet", ".pq", ".csv", ".tsv", ".arrow", ".feather",
    ".gz", ".bz2", ".xz", ".zst", ".zip",
)  # fmt: skip
ABOUT_DATA = ("dataset_info.json", "dataset_infos.json", "state.json", "dataset_dict.json", "package.json")


@dataclass(frozen=True, slots=True)
class ManySource:
    """The rows of several sources, one after the other."""

    name: str
    parts: tuple[Source, ...]

    def rows(self, wanted: Sequence[str] | None = None) -> Generator[Row | UnusableRowError]:
        for part in self.parts:
            yield from part.rows(wanted)


def is_data_file(name: str) -> bool:
    path = Path(name)
    hidden = any(part.startswith((".", "_")) for part in path.parts)
    return path.suffix.lower() in DATA_SUFFIXES and path.name not in ABOUT_DATA and not hidden


def open_shards(folder: Path, split: str, opener: Callable[[DataFile], Source]) -> Source:
    """The data files of ``split`` below ``folder``, told from other splits by their names as ``datasets`` does.

    Raises:
        DataError: there are none, or none of that split.
    """
    from datasets.data_files import DataFilesDict, EmptyDatasetError, get_data_patterns

    held = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]
    files = [name for name in held if is_data_file(name)]
    if not files:
        listed = ", ".join(sorted(entry.name for entry in folder.iterdir())[:8]) or "nothing"
        expected = "expected data files (JSON, Parquet, CSV, Arrow) or what datasets' save_to_disk writes"
        raise DataError(f"{folder}: no data in this folder (it holds {listed}); {expected}")
    try:
        found = DataFilesDict.from_patterns(get_data_patterns(str(folder)), base_path=str(folder))
    except (EmptyDatasetError, FileNotFoundError):
        found = {}
    by_split = {
        str(name): [path for path in map(str, paths) if is_data_file(str(Path(path).relative_to(folder.resolve())))]
        for name, paths in found.items()
    }
    by_split = {name: paths for name, paths in by_split.items() if paths}
    if not by_split:
        by_split = {split: [str(folder / name) for name in files]}
    if split not in by_split:
        raise DataError(
            f"{folder}: no split {split!r}; it has {', '.join(map(repr, by_split))}. Choose: --set data.hub_split=…"
        )
    return ManySource(str(folder), tuple(opener(DataFile(Path(path))) for path in sorted(by_split[split])))
