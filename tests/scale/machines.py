"""Machines that share nothing but a store, all in one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus import working_copy
from corpus.working_copy import WorkingCopy


class Machine:
    """A machine of its own: its cache, and what it has opened."""

    def __init__(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cache, self._monkeypatch, self._copies = cache, monkeypatch, dict[Path, WorkingCopy]()

    def __call__(self) -> Machine:
        """Work goes on on this one."""
        self._monkeypatch.setenv("RMMINER_CACHE", str(self.cache))
        self._monkeypatch.setattr(working_copy, "_COPIES", self._copies)
        return self
