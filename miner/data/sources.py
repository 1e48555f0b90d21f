"""Where rows come from: a file, a folder or the hub, opened by what it is and read as a stream."""

from __future__ import annotations

import re
from pathlib import Path

from miner.data.file_kinds import FileKind, binary_kind, encoding_of, foreign
from miner.data.folders import DATA_SUFFIXES, ManySource, is_data_file, of_split, open_shards, zipped_by_split
from miner.data.packed import DataFile, packing, zip_members
from miner.data.rows import Source
from miner.errors import DataError

NOT_OF_THE_HUB = (*DATA_SUFFIXES, ".txt", ".tab", ".xlsx")
TABLE_SUFFIXES = (".csv", ".tsv", ".tab")
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?")


def open_source(source: str | Path, hub_split: str) -> Source:
    """A path that exists, or else a hub id, which may pin a revision: ``owner/name@revision``.

    Raises:
        DataError: no such file, or nothing that can be read; says what it is.
    """
    from miner.data.saved_datasets import is_saved, open_hub, open_saved

    path = Path(source)
    if path.is_dir():
        if is_saved(path):
            return open_saved(path, hub_split)
        return open_shards(path, hub_split, lambda file: open_file(file, hub_split))
    if path.exists():
        return open_file(DataFile(path), hub_split)
    if isinstance(source, Path) or path.suffix.lower() in NOT_OF_THE_HUB or not HUB_ID.fullmatch(source):
        raise DataError(f"{source}: no such file or folder, and not the form of a hub id (owner/name)")
    return open_hub(source, hub_split)


def open_file(file: DataFile, split: str = "train") -> Source:
    """One file, opened by its first bytes.

    Raises:
        DataError: it cannot be read, or is something else; says what.
    """
    from miner.data.arrow_files import ArrowSource, CsvSource
    from miner.data.json_files import JsonSource

    if file.member is None and packing(file.path) == "zip":
        return _open_zip(file.path, split)
    head = file.head()
    if kind := binary_kind(head):
        return ArrowSource(file, kind)
    if other := foreign(head):
        raise DataError(f"{file.name}: this is {other[0]}; {other[1]}")
    if _text_kind(file.name, head) is FileKind.TABLE:
        return CsvSource(file)
    return JsonSource(file, split)


def _open_zip(path: Path, split: str) -> Source:
    names = zip_members(path)
    if "[Content_Types].xml" in names:
        raise DataError(f"{path}: this is an Office document (a workbook?); save the sheet as CSV UTF-8")
    if "data.pkl" in {Path(name).name for name in names}:
        raise DataError(f"{path}: this is a PyTorch file; --data takes preference data, --rm models")
    files = [name for name in names if is_data_file(name) and not name.startswith("__MACOSX")]
    if not files:
        raise DataError(f"{path}: no data file in this zip archive; it holds {', '.join(names[:8]) or 'nothing'}")
    if len(files) == 1:
        return open_file(DataFile(path, files[0]), split)
    names = of_split(files, zipped_by_split(path), split, str(path))
    return ManySource(str(path), tuple(open_file(DataFile(path, name), split) for name in names))


def _text_kind(name: str, head: bytes) -> FileKind:
    """JSON or CSV. CSV by its suffix, or where a first line that begins no JSON names several columns.

    Raises:
        DataError: it is no text of a kind that is read.
    """
    text = head.decode(encoding_of(head), errors="replace").lstrip("\ufeff \t\r\n")
    plain_name = Path(name.lower().removesuffix(".gz").removesuffix(".bz2").removesuffix(".xz").removesuffix(".zst"))
    if text[:1] in ("{", "[", ""):
        return FileKind.JSON
    if plain_name.suffix in TABLE_SUFFIXES:
        return FileKind.TABLE
    header = text.partition("\n")[0]
    if max(map(header.count, ",;\t|")) and re.fullmatch(r"[\w .\"',;\t|-]{3,}\r?", header) and "\n" in text:
        return FileKind.TABLE
    if "\x00" in text or text.count("\ufffd") > len(text) // 8:
        raise DataError(f"{name}: not text, nor a binary file of a known kind; expected JSON, Parquet, CSV or Arrow")
    raise DataError(f"{name}, line 1: neither JSON nor CSV with a header: it begins {header[:40]!r}")
