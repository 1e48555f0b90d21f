"""One file as a stream of bytes, unpacked on the way."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from miner.data.file_kinds import HEAD_BYTES, OTHER_ENCODING, packing_of
from miner.errors import DataError

TORN = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError)


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file, or one ``member`` of a zip archive."""

    path: Path
    member: str | None = None

    @property
    def name(self) -> str:
        """What messages call it."""
        return str(self.path) if self.member is None else f"{self.path}/{self.member}"

    @property
    def is_packed(self) -> bool:
        return self.member is not None or packing(self.path) is not None

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Its bytes, unpacked; under ``readable``, which says what its errors mean."""
        with self._raw() as raw, _unpacked(raw, self.name) as plain:
            yield plain

    def head(self) -> bytes:
        """Its first bytes, unpacked.

        Raises:
            DataError: it cannot be read, or its packing is torn.
        """
        with readable(self.name, lambda: " after line 0"), self.open() as file:
            return file.read(HEAD_BYTES)

    @contextmanager
    def _raw(self) -> Iterator[IO[bytes]]:
        if self.member is None:
            with self.path.open("rb") as file:
                yield file
        else:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as inner:
                yield inner


@contextmanager
def readable(name: str, so_far: Callable[[], str] = str) -> Iterator[None]:
    """What goes wrong while ``name`` is read becomes a DataError that says how far it was read."""
    try:
        yield
    except TORN as error:
        raise DataError(f"{name}: the packed data is torn or corrupt{so_far()}: {error}") from error
    except UnicodeError as error:
        raise DataError(f"{name}: not valid text{so_far()}: {error}. {OTHER_ENCODING}") from error
    except OSError as error:
        if error.strerror is None:  # so bz2 and zstd tell of their data
            raise DataError(f"{name}: the packed data is torn or corrupt{so_far()}: {error}") from error
        raise DataError(f"{name}: cannot be read{so_far()}: {error.strerror}") from error


def packing(path: Path) -> str | None:
    """How a file is packed.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return packing_of(file.read(HEAD_BYTES))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def zip_members(path: Path) -> list[str]:
    """The files in an archive, in order.

    Raises:
        DataError: it is torn, or asks for a password.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = sorted((one for one in archive.infolist() if not one.is_dir()), key=lambda one: one.filename)
    except (*TORN, OSError, NotImplementedError) as error:
        raise DataError(f"{path}: not a readable zip archive: {error}") from error
    if any(one.flag_bits & 1 for one in infos):
        raise DataError(f"{path}: the zip archive has a password; unpack it and name the folder")
    return [one.filename for one in infos]


@contextmanager
def _unpacked(raw: IO[bytes], name: str) -> Iterator[IO[bytes]]:
    magic = raw.peek(8)[:8] if hasattr(raw, "peek") else b""
    how = packing_of(magic)
    if how is None:
        yield raw
    elif how == "zip":
        raise DataError(f"{name}: a zip archive inside another; unpack it and name the folder")
    elif how == "zstd":
        with _zstd(raw) as plain:
            yield plain
    else:
        opener: Any = {"gzip": gzip.open, "bz2": bz2.open, "xz": lzma.open}[how]
        with opener(raw, "rb") as plain:
            yield cast(IO[bytes], plain)


@contextmanager
def _zstd(raw: IO[bytes]) -> Iterator[IO[bytes]]:
    import pyarrow as pa

    with pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd") as stream:
        yield cast(IO[bytes], io.BufferedReader(stream, 1 << 16))
