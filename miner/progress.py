"""How long-running stages say where they are; what is done with it is the caller's business."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from corpus.records import Finding

Advance = Callable[[int, int], None]
"""Called with (done, of all); the total may still change."""


def untold(done: int, total: int) -> None:
    """An ``Advance`` that nobody listens to."""
    del done, total


class Observer(Protocol):
    """Watches a run."""

    def stage(self, name: str) -> AbstractContextManager[Advance]:
        """A stage begins; it ends with the context."""

    def found(self, finding: Finding) -> None:
        """A finding is stored, or will be with the next flush."""

    def note(self, text: str) -> None:
        """Something a user wants to know, on one line."""


class Silent:
    """Watches and says nothing."""

    @contextmanager
    def stage(self, name: str) -> Iterator[Advance]:
        del name
        yield untold

    def found(self, finding: Finding) -> None: ...

    def note(self, text: str) -> None: ...
