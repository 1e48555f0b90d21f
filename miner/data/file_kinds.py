"""What a file is, by its first bytes: what is read, how it is packed, and what else people hand in."""

from __future__ import annotations

from enum import StrEnum

HEAD_BYTES = 1 << 12


class FileKind(StrEnum):
    """What can be read."""

    JSON = "JSON"
    TABLE = "CSV"
    PARQUET = "Parquet file"
    ARROW_FILE = "Arrow file"
    ARROW_STREAM = "Arrow stream"


PACKINGS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}
BINARY_KINDS = {b"PAR1": FileKind.PARQUET, b"ARROW1": FileKind.ARROW_FILE, b"\xff\xff\xff\xff": FileKind.ARROW_STREAM}
ENCODINGS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
FOREIGN = {
    b"SQLite format 3": ("an SQLite database", "write the table out: sqlite3 -json FILE 'SELECT …' > data.json"),
    b"\x80\x02": ("a Python pickle", "it is not opened, since pickles run code; write it as JSON lines"),
    b"\x80\x03": ("a Python pickle", "it is not opened, since pickles run code; write it as JSON lines"),
    b"\x80\x04": ("a Python pickle", "it is not opened, since pickles run code; write it as JSON lines"),
    b"\x80\x05": ("a Python pickle", "it is not opened, since pickles run code; write it as JSON lines"),
    b"\x93NUMPY": ("a NumPy array", "write the rows as JSON lines"),
    b"\x89HDF": ("an HDF5 file", "write the rows as JSON lines"),
    b"%PDF": ("a PDF", "data has to be JSON lines, Parquet or CSV"),
    b"ORC": ("an ORC file", "write it as Parquet: pyarrow.orc reads it"),
    b"Obj\x01": ("an Avro file", "write it as Parquet or JSON lines"),
    b"FEA1": ("a Feather file of version 1", "write it as Parquet: pyarrow.feather reads it"),
    b"\x04\x22\x4d\x18": ("lz4 data", "unpack it: lz4 -d FILE"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "unpack it and name the folder"),
    b"Rar!": ("a RAR archive", "unpack it and name the folder"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "save the sheet as CSV UTF-8"),
    b"GGUF": ("a GGUF model", "--data takes preference data, --rm models"),
    b"version https://git-lfs": ("a Git LFS pointer, not the file itself", "fetch it: git lfs pull"),
    b"<!doctype html": ("a web page", "download the file itself, not the page that shows it"),
    b"<html": ("a web page", "download the file itself, not the page that shows it"),
    b"<?xml": ("XML", "write the rows as JSON lines"),
}
OTHER_ENCODING = "If it is in another encoding (cp1252, say): iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW"
TAR_AT, TAR_MAGIC = 257, b"ustar"


def packing_of(head: bytes) -> str | None:
    """How a file is packed: gzip, bz2, xz, zstd, zip, or not at all."""
    return next((name for magic, name in PACKINGS.items() if head.startswith(magic)), None)


def binary_kind(head: bytes) -> FileKind | None:
    return next((kind for magic, kind in BINARY_KINDS.items() if head.startswith(magic)), None)


def encoding_of(head: bytes) -> str:
    """By byte-order mark or, without one, by where the zeros lie; UTF-8 otherwise."""
    for magic, name in ENCODINGS.items():
        if head.startswith(magic):
            return name
    if len(head) >= 4 and head[1:4:2] == b"\x00\x00" and head[0] and head[2]:
        return "utf-16-le"
    if len(head) >= 4 and head[0:4:2] == b"\x00\x00" and head[1] and head[3]:
        return "utf-16-be"
    return "utf-8"


def foreign(head: bytes) -> tuple[str, str] | None:
    """(what it is, what to do) of a file that is known and not read."""
    if head[TAR_AT : TAR_AT + len(TAR_MAGIC)] == TAR_MAGIC:
        return "a tar archive", "unpack it and name the folder"
    plain = head.lstrip().lower()
    return next(
        (what for magic, what in FOREIGN.items() if head.startswith(magic) or plain.startswith(magic.lower())), None
    )
