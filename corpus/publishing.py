"""Publishing, wherever the folder lies: of one on this machine as ``corpus.durable`` does it; of a store's working copy
in the store, and then in the copy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from corpus import durable
from corpus.working_copy import copy_of


def publish_bytes(folder: Path, name: str, content: bytes) -> Path:
    """Makes ``folder/name``, named by its content, hold ``content``; once this returns, it is safe.

    Raises:
        CorpusWriteError: no space, no permission, no such device or bucket. What was there stays.
    """
    if (copy := copy_of(folder / name)) is not None:
        copy.add(folder / name, content)
    return durable.publish_bytes(folder, name, content)


def replace_file(path: Path, content: bytes) -> None:
    """Makes ``content`` the whole content of ``path``; once this returns, it is safe.

    Raises:
        OSError, CorpusWriteError: the old content stays, and nothing else is left behind.
    """
    if (copy := copy_of(path)) is not None:
        copy.add_version(path, content)
    durable.replace_file(path, content)


def publish_folder(target: Path, make: Callable[[Path], object]) -> bool:
    """Makes ``target`` the folder that ``make`` fills; False where another was first, whose folder it then is.

    Raises:
        OSError, CorpusWriteError, CorpusReadError, and whatever ``make`` raises: nothing is left behind.
    """
    copy = copy_of(target)
    if copy is None:
        return durable.publish_folder(target, make)
    first: list[bool] = []

    def make_and_add(folder: Path) -> None:
        make(folder)
        first.append(copy.add_folder(target, folder))
        if not first[0]:
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            copy.fill(target, folder)

    durable.publish_folder(target, make_and_add)
    return first[0]
