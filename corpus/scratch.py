"""A corpus to try things on: what is done to it is not done to the one it was made of."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from corpus.store import Corpus


@contextmanager
def scratch_copy(corpus: Corpus) -> Iterator[Corpus]:
    """The corpus once more, in a scratch folder beside it, of hard links.

    Segments are never written to, only published and deleted, so links to them are as good as copies; where the file
    system has none, they are copies.
    """
    with tempfile.TemporaryDirectory(dir=corpus.path.resolve().parent, prefix=".dry-run-") as scratch:
        copy = Path(scratch) / "corpus"
        if corpus.exists():
            shutil.copytree(corpus.path, copy, copy_function=_linked_or_copied)
        yield Corpus(copy)


def _linked_or_copied(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except (AttributeError, OSError):
        shutil.copyfile(source, target)
