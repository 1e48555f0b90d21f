"""What a run has cost so far, kept in its folder so that a resumed one counts its earlier processes too."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

FILE_NAME = "usage.json"


@dataclass(slots=True)
class Usage:
    """Wall time by stage, summed over processes, and the largest peak memory of any of them."""

    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory_mb: float | None = None

    @classmethod
    def of(cls, folder: Path) -> Usage:
        """As far as ``folder`` holds it; a file that was lost or damaged starts the count again."""
        try:
            stored = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
            seconds = {str(stage): float(spent) for stage, spent in stored["seconds"].items()}
            return cls(folder, seconds, stored["peak_memory_mb"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls(folder)

    def add(self, seconds: Mapping[str, float]) -> None:
        """Count ``seconds`` by stage, and what memory this process has needed."""
        for stage, spent in seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + spent
        self.peak_memory_mb = max(filter(None, (self.peak_memory_mb, peak_memory_mb())), default=None)
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / f"{FILE_NAME}.partial"
        partial.write_text(
            json.dumps({"seconds": self.seconds, "peak_memory_mb": self.peak_memory_mb}, indent=1) + "\n",
            encoding="utf-8",
        )
        os.replace(partial, self.folder / FILE_NAME)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Counts the block, an interrupted one too; a killed process takes the stage it was in with it."""
        started = time.perf_counter()
        try:
            yield
        except BaseException:
            with suppress(OSError):  # a full disk has said so already
                self.add({stage: time.perf_counter() - started})
            raise
        self.add({stage: time.perf_counter() - started})


def peak_memory_mb() -> float | None:
    """Peak resident memory of this process; None where the platform does not say."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
