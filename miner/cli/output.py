"""What the terminal shows: progress and findings on stderr, results on stdout. Mined text is made safe here."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from corpus.records import Finding
from miner import safe_text
from miner.progress import Advance

RESPONSE_CHARACTERS = 160


def out() -> Console:
    return Console(highlight=False, soft_wrap=True)


def err() -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True)


def say_error(message: str) -> None:
    """One line on stderr, whatever the message holds."""
    err().print(Text.assemble(("rmminer: ", "bold red"), safe_text.terminal(message)))


def print_json(value: Any) -> None:
    """``value`` as one JSON document on stdout: ASCII, so that mined text stays data in any terminal."""
    print(json.dumps(plain(value), indent=1, allow_nan=False))


def plain(value: Any) -> Any:
    """Dataclasses as objects, NaN as null, everything else that JSON lacks as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


class Watcher:
    """Shows a run on stderr: a bar with time left per stage, and findings as they come (the first in full)."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = err()
        self.quiet = quiet
        self.started = time.monotonic()
        self.n_found = 0

    @contextmanager
    def stage(self, name: str) -> Iterator[Advance]:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, disable=self.quiet or not self.console.is_terminal) as progress:
            task = progress.add_task(name, total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total)
        if not self.quiet and not self.console.is_terminal:
            self.console.print(f"{name}: done, {self._clock()}")

    def found(self, finding: Finding) -> None:
        self.n_found += 1
        if self.quiet or (self.n_found > 1 and not self.console.is_terminal):
            return
        head = f"[{self._clock()}] {'first finding' if self.n_found == 1 else 'found'}: "
        reference = "" if finding.reference_reward is None else f", the good answer {finding.reference_reward:.2f}"
        line = Text(head, style="bold" if self.n_found == 1 else "")
        line.append(f"{finding.attack} reward {finding.reward:.2f}{reference}, margin {finding.margin:.1f} sd: ")
        line.append_text(safe_text.terminal(clipped(finding.response)))
        self.console.print(line)

    def note(self, text: str) -> None:
        if not self.quiet:
            self.console.print(safe_text.terminal(text))

    def _clock(self) -> str:
        minutes, seconds = divmod(round(time.monotonic() - self.started), 60)
        return f"{minutes}:{seconds:02d}"


def clipped(text: str, limit: int = RESPONSE_CHARACTERS) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
