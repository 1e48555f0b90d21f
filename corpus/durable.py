"""Publishing bytes under a name that did not exist: all of them survive a kill or a power cut, or none are seen."""

from __future__ import annotations

import errno
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path

from corpus.errors import CorpusWriteError

TEMPORARY_PREFIX = ".tmp-"
STALE_AFTER_S = 3600.0


def publish_bytes(folder: Path, name: str, content: bytes) -> Path:
    """Makes ``folder/name`` hold ``content``; once this returns, it is on the disk.

    A file of that name is left as it is: names carry the hash of their content, so it already says the same.

    Raises:
        CorpusWriteError: no space, no permission, no such device. Nothing is left behind.
    """
    target = folder / name
    temporary = folder / f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(8)}"
    try:
        make_folder(folder)
        try:
            _write_synced(temporary, content)
            with suppress(FileExistsError):
                os.link(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(folder)
    except OSError as error:
        raise write_error(folder, error) from error
    return target


def make_folder(folder: Path) -> None:
    """Creates the folder and its parents, each durable before what it holds."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Makes the folder's current list of names durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_stale_temporaries(folder: Path) -> int:
    """Deletes what killed writers left behind over an hour ago, and says how many files that were."""
    removed = 0
    oldest_live = time.time() - STALE_AFTER_S
    for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < oldest_live:
                path.unlink()
                removed += 1
    return removed


def write_error(folder: Path, error: OSError) -> CorpusWriteError:
    """The error to raise when the system refused a write in ``folder``."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CorpusWriteError(
            f"cannot write in {folder}: disk full. Free space and run again; everything acknowledged before is intact"
        )
    reason = error.strerror or str(error)
    return CorpusWriteError(
        f"cannot write in {folder}: {reason}. The corpus needs a local folder that it may write to, on a file system "
        "with hard links; everything acknowledged before is intact"
    )


def _write_synced(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        remaining = memoryview(content)
        while remaining:
            remaining = remaining[os.write(descriptor, remaining) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
