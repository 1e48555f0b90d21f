"""Publishing in one step: under its name there is all of it, after a kill or a power cut too, or nothing.

What is written lies under a temporary name in the same folder until it is whole and on the disk, and is then renamed:
every file system can, those without hard links too, so that no reader ever meets a part. A kill costs nothing anywhere.
A power cut may cost what was written just before it where the system cannot be told to write it down (see ``sync``).
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from corpus.errors import CorpusWriteError

TEMPORARY_PREFIX = ".tmp-"
STALE_AFTER_S = 3600.0
STALE_FOLDER_AFTER_S = 24 * 3600.0  # a model may be trained into one, with hours between two files
_CANNOT_SYNC = {errno.EACCES, errno.EBADF, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
_OPEN_ELSEWHERE = (5, 32)  # Windows: access denied, sharing violation
_PAUSES_S = (0.01, 0.03, 0.1, 0.3, 1.0)


def publish_bytes(folder: Path, name: str, content: bytes) -> Path:
    """Makes ``folder/name`` hold ``content``; once this returns, it is on the disk.

    The name carries the hash of the content: whoever publishes it again says the same, or mends what was damaged.

    Raises:
        CorpusWriteError: no space, no permission, no such device. Nothing is left behind.
    """
    try:
        replace_file(folder / name, content)
    except OSError as error:
        raise write_error(folder, error) from error
    return folder / name


def replace_file(path: Path, content: bytes) -> None:
    """Makes ``content`` the whole content of ``path``; once this returns, it is on the disk.

    A reader meets the old content or the new; of several writers the last counts. A file that says so already is not
    written.

    Raises:
        OSError: the old content stays, and nothing else is left behind.
    """
    make_folder(path.parent)
    if not _holds(path, content):
        _put(path, content, _write_synced)
    sync(path.parent)


def keep_file(path: Path, content: bytes) -> None:
    """As ``replace_file`` for what can be had again: whole after a kill, but a power cut may cost it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _put(path, content, Path.write_bytes)


def _put(path: Path, content: bytes, write: Callable[[Path, bytes], object]) -> None:
    temporary = _temporary(path.parent)
    try:
        write(temporary, content)
        retried(lambda: os.replace(temporary, path))
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def publish_folder(target: Path, make: Callable[[Path], object]) -> bool:
    """Makes ``target`` the folder that ``make`` fills; False where another was first, whose folder stays as it is.

    Raises:
        OSError, and whatever ``make`` raises: nothing is left behind.
    """
    make_folder(target.parent)
    remove_stale_temporaries(target.parent)
    temporary = _temporary(target.parent)
    try:
        temporary.mkdir()
        make(temporary)
        for path in (*temporary.rglob("*"), temporary):
            sync(path)
        first = _takes_place(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    sync(target.parent)
    return first


def make_folder(folder: Path) -> None:
    """Creates the folder and its parents, each durable before what it holds."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync(folder.parent)


def sync(path: Path) -> None:
    """Makes a file's content, or a folder's current list of names, durable where the system can.

    Windows cannot for folders and finished files, some network and FUSE file systems not for folders; macOS hands it
    to the drive, which may keep it in its cache. There it is durable some seconds later.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def retried(step: Callable[[], object]) -> None:
    """Does ``step``, for a second and a half again where Windows refuses it since another process has the file open."""
    for pause_s in _PAUSES_S:
        try:
            step()
            return
        except PermissionError as error:
            if getattr(error, "winerror", None) not in _OPEN_ELSEWHERE:
                raise
            time.sleep(pause_s)
    step()


def remove_stale_temporaries(folder: Path) -> int:
    """Deletes what killed writers left behind: files over an hour ago, folders over a day ago. Says how many."""
    removed = 0
    for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
        with suppress(OSError):  # gone, or not ours to delete: no reason to stop a write
            if path.is_dir() and time.time() - path.stat().st_mtime > STALE_FOLDER_AFTER_S:
                shutil.rmtree(path, ignore_errors=True)
                removed += 1
            elif not path.is_dir() and time.time() - path.stat().st_mtime > STALE_AFTER_S:
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
        f"cannot write in {folder}: {reason}. It takes a folder in which files may be written and renamed; "
        "everything acknowledged before is intact"
    )


def _temporary(folder: Path) -> Path:
    return folder / f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(8)}"


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False


def _write_synced(path: Path, content: bytes) -> None:
    as_it_is = getattr(os, "O_BINARY", 0)  # Windows would write two bytes for every line break
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | as_it_is, 0o666)
    try:
        remaining = memoryview(content)
        while remaining:
            remaining = remaining[os.write(descriptor, remaining) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _takes_place(temporary: Path, target: Path) -> bool:
    try:
        retried(lambda: os.rename(temporary, target))
    except OSError:
        if not target.is_dir():
            raise
        if any(target.iterdir()):
            return False
        with suppress(OSError):  # somebody's may be there by now
            target.rmdir()  # Windows renames over nothing, not even over an empty folder
            retried(lambda: os.rename(temporary, target))
            return True
        return False
    return True
