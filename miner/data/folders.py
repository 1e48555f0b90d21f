"""A folder of data files, or a zip archive of them, as one source."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from miner.data.packed import DataFile
from miner.data.pairs import PairColumns, Pairs
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

    def rows(
        self, wanted: Sequence[str] | None = None, pairs: PairColumns | None = None
    ) -> Generator[Row | UnusableRowError | Pairs]:
        for part in self.parts:
            yield from part.rows(wanted, pairs)


def is_data_file(name: str) -> bool:
    path = Path(name)
    hidden = any(part.startswith((".", "_")) for part in path.parts)
    return path.suffix.lower() in DATA_SUFFIXES and path.name not in ABOUT_DATA and not hidden


def open_shards(folder: Path, split: str, opener: Callable[[DataFile], Source]) -> Source:
    """The data files of ``split`` below ``folder``, told from other splits by their names as ``datasets`` does.

    Raises:
        DataError: there are none, or none of that split.
    """
    held = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]
    files = [name for name in held if is_data_file(name)]
    if not files:
        listed = ", ".join(sorted(entry.name for entry in folder.iterdir())[:8]) or "nothing"
        expected = "expected data files (JSON, Parquet, CSV, Arrow) or what datasets' save_to_disk writes"
        raise DataError(f"{folder}: no data in this folder (it holds {listed}); {expected}")
    found = {
        name: [str(Path(path).relative_to(folder.resolve())) for path in paths]
        for name, paths in _by_split(str(folder)).items()
    }
    names = of_split(files, found, split, str(folder))
    return ManySource(str(folder), tuple(opener(DataFile(folder / name)) for name in names))


def zipped_by_split(archive: Path) -> dict[str, list[str]]:
    """The members of a zip archive by split."""
    found = _by_split(f"zip://::{archive.resolve()}")
    return {name: [path.removeprefix("zip://").partition("::")[0] for path in paths] for name, paths in found.items()}


def of_split(files: Sequence[str], by_split: Mapping[str, Sequence[str]], split: str, where: str) -> list[str]:
    """Those of the ``files`` that belong to ``split``: all, where their names tell of none.

    Raises:
        DataError: they tell of others alone.
    """
    told = {name: sorted(set(files) & set(paths)) for name, paths in by_split.items()}
    told = {name: paths for name, paths in told.items() if paths}
    if not told:
        return sorted(files)
    if split not in told:
        raise DataError(
            f"{where}: no split {split!r}; it has {', '.join(map(repr, told))}. Choose: --set data.hub_split=…"
        )
    return told[split]


def _by_split(base: str) -> dict[str, list[str]]:
    from datasets.data_files import DataFilesDict, EmptyDatasetError, get_data_patterns

    try:
        found = DataFilesDict.from_patterns(get_data_patterns(base), base_path=base)
    except (EmptyDatasetError, FileNotFoundError):
        return {}
    return {str(name): [str(path) for path in paths] for name, paths in found.items()}
