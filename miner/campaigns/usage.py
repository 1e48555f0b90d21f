"""What a run has cost so far, kept in its folder so that a resumed one counts its other processes too.

Every process writes a file of its own, ``usage/<host>-<process>-<start>.json``: many may work on one run at a time.
"""

from __future__ import annotations

import os
import platform
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from pydantic import TypeAdapter, ValidationError

from corpus.working_copy import fetched_from
from miner.checkpoints.devices import resolve_device
from miner.checkpoints.precision import measured_gflops
from miner.files import replace_text

FOLDER_NAME = "usage"


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredUsage:
    seconds: dict[str, float]
    peak_memory_mb: float | None


_STORED = TypeAdapter(_StoredUsage)


@dataclass(slots=True)
class Usage:
    """Wall time by stage, summed over processes, and the largest peak memory of any of them."""

    folder: Path
    own: dict[str, float] = field(default_factory=dict)
    name: str = field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}")

    @property
    def seconds(self) -> dict[str, float]:
        """By stage, of all processes so far."""
        total: dict[str, float] = {}
        for one in [self.own, *(stored.seconds for stored in self._others())]:
            for stage, spent in one.items():
                total[stage] = total.get(stage, 0.0) + spent
        return total

    @property
    def peak_memory_mb(self) -> float | None:
        peaks = [peak_memory_mb(), *(stored.peak_memory_mb for stored in self._others())]
        return max((peak for peak in peaks if peak is not None), default=None)

    def add(self, seconds: Mapping[str, float]) -> None:
        """Count ``seconds`` by stage, and what memory this process has needed."""
        for stage, spent in seconds.items():
            self.own[stage] = self.own.get(stage, 0.0) + spent
        stored = _StoredUsage(seconds=self.own, peak_memory_mb=peak_memory_mb())
        replace_text(self.folder / FOLDER_NAME / f"{self.name}.json", _STORED.dump_json(stored, indent=1).decode())

    def _others(self) -> list[_StoredUsage]:
        """What other processes have written; a damaged file counts for nothing."""
        found = []
        for path in sorted(fetched_from(self.folder / FOLDER_NAME).glob("*.json")):
            if path.stem != self.name:
                with suppress(OSError, ValidationError):
                    found.append(_STORED.validate_json(path.read_bytes()))
        return found

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
    except ImportError:  # Windows
        peak_bytes = getattr(psutil.Process().memory_info(), "peak_wset", None)
        return None if peak_bytes is None else round(peak_bytes / 2**20, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def machine() -> dict[str, object]:
    import torch

    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gflops": measured_gflops(resolve_device("auto")),
    }
