"""What a user sees of a run while it runs, on stderr: bars on a terminal; elsewhere lines, the next one never far."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from corpus.records import Finding
from miner import safe_text
from miner.cli.output import clipped, err
from miner.progress import Advance, untold

EVERY_S = 10.0


class Watcher:
    """Shows a run on stderr: what it is at, how far that is, and findings as they come, the first in full.

    On a terminal a stage has a bar with the time left. Anywhere else it has a line as it begins, one as it ends, and
    one at least every ``every_s`` seconds in between, whether or not it says how far it is; findings after the first
    are counted there. A quiet one says nothing.
    """

    def __init__(self, *, quiet: bool = False, console: Console | None = None, every_s: float = EVERY_S) -> None:
        self.console = console or err()
        self.quiet = quiet
        self.every_s = every_s
        self.n_found = 0
        self._started = self._spoke = time.monotonic()
        self._stages: list[_Stage] = []  # those under way, the innermost last
        self._lock = threading.RLock()  # held by whoever speaks, so that a stage's last line is its end
        self._ticker: _Ticker | None = None
        self._bars: Progress | None = None

    @contextmanager
    def verb(self, name: str, first_line: str) -> Iterator[None]:
        """A verb runs, and is what ``running()`` gives; whatever it does outside any stage is told of, too."""
        if not self.quiet:
            self._print(safe_text.terminal(first_line))
        token = _RUNNING.set(self)
        try:
            with nullcontext() if self.quiet or self.console.is_terminal else self._lines(name):
                yield
        finally:
            self.rest()
            _RUNNING.reset(token)

    @contextmanager
    def stage(self, name: str) -> Iterator[Advance]:
        if self.quiet:
            yield untold
        elif self.console.is_terminal:
            with self._bar(name) as advance:
                yield advance
        else:
            self._say(f"{name}: begins")
            with self._lines(name) as stage:
                yield stage.advance

    def found(self, finding: Finding) -> None:
        self.n_found += 1
        first = self.n_found == 1
        if self.quiet or not (first or self.console.is_terminal):
            return
        reference = "" if finding.reference_reward is None else f", the good answer {finding.reference_reward:.2f}"
        line = Text(f"[{self._clock()}] {'first finding' if first else 'found'}: ", style="bold" if first else "")
        line.append(f"{finding.attack} reward {finding.reward:.2f}{reference}, margin {finding.margin:.1f} sd")
        if first:
            line.append_text(safe_text.terminal(f", asked {finding.prompt[-1].content!r}"))
        line.append_text(safe_text.terminal(f": {finding.response if first else clipped(finding.response)}"))
        self._print(line)

    def note(self, text: str) -> None:
        if not self.quiet:
            self._print(safe_text.terminal(text))

    def rest(self) -> None:
        """No more lines of its own accord: what is waited for now may never come."""
        if self._ticker is not None:
            self._ticker.stop()
            self._ticker = None

    @contextmanager
    def _lines(self, name: str) -> Iterator[_Stage]:
        with self._lock:
            stage = _Stage(name=name, found_before=self.n_found)
            self._stages.append(stage)
            outermost = len(self._stages) == 1
        if outermost:
            self._ticker = _Ticker(self._tick, self.every_s)
        ended = "stopped"
        try:
            yield stage
            ended = "done"
        except typer.Exit:
            ended = "done"  # its status says the rest
            raise
        finally:
            if outermost:
                self.rest()
            with self._lock:
                self._stages.pop()
                self._say(f"{name}: {ended}, {stage.at_the_end()}{self._found_since(stage)}")

    @contextmanager
    def _bar(self, name: str) -> Iterator[Advance]:
        """A bar of its own, or below that of the stage around it while it lasts."""
        bars, outermost = self._bars or Progress(*_columns(), console=self.console), self._bars is None
        if outermost:
            bars.start()
            self._bars = bars
        task = bars.add_task(safe_text.visible(name), total=None)
        try:
            yield lambda done, total: bars.update(task, completed=done, total=total)
        finally:
            if outermost:
                bars.stop()
                self._bars = None
            else:
                bars.remove_task(task)

    def _tick(self) -> float:
        """Say where the innermost stage is, if nothing was said for long; how many seconds to wait for the next."""
        with self._lock:
            waited = time.monotonic() - self._spoke
            if self._stages and waited >= self.every_s:
                stage = self._stages[-1]
                self._say(f"{stage.name}: {stage.so_far()}{self._found_since(stage)}")
                return self.every_s
            return self.every_s - waited

    def _found_since(self, stage: _Stage) -> str:
        found = self.n_found - stage.found_before
        return f"; {found} found" if found else ""

    def _say(self, line: str) -> None:
        self._print(safe_text.terminal(f"[{self._clock()}] {line}"))

    def _print(self, line: Text) -> None:
        with self._lock:
            self._spoke = time.monotonic()
            self.console.print(line)

    def _clock(self) -> str:
        return _clock_time(time.monotonic() - self._started)


_RUNNING: ContextVar[Watcher | None] = ContextVar("watcher of the verb that runs", default=None)


def running() -> Watcher:
    """The watcher of the verb that runs."""
    return _RUNNING.get() or Watcher()


@dataclass(slots=True, kw_only=True)
class _Stage:
    """How far a stage says it is, and when it said so first: what was done by then tells nothing of its speed."""

    name: str
    found_before: int
    began: float = field(default_factory=time.monotonic)
    done: int = 0
    total: int | None = None
    first: tuple[float, int] | None = None

    def advance(self, done: int, total: int) -> None:
        self.first = self.first or (time.monotonic(), done)
        self.done, self.total = done, total

    def so_far(self) -> str:
        spent = time.monotonic() - self.began
        return f"{self._count() or 'at work'}, {_clock_time(spent)} so far{self._left()}"

    def at_the_end(self) -> str:
        spent = _clock_time(time.monotonic() - self.began)
        return f"{count} in {spent}" if (count := self._count()) else spent

    def _count(self) -> str:
        return "" if self.total is None else f"{self.done} of {self.total}"

    def _left(self) -> str:
        if self.first is None or self.total is None or self.done <= self.first[1]:
            return ""
        since, done_by_then = self.first
        left = (time.monotonic() - since) * (self.total - self.done) / (self.done - done_by_then)
        return f", {_clock_time(left)} left"


class _Ticker:
    """A thread that calls ``tick`` when it asked for that, until it is stopped; it keeps no process alive."""

    def __init__(self, tick: Callable[[], float], wait_s: float) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(tick, wait_s), name="progress", daemon=True)
        self._thread.start()

    def _run(self, tick: Callable[[], float], wait_s: float) -> None:
        while not self._over.wait(wait_s):
            wait_s = tick()

    def stop(self) -> None:
        """Returns when the last call has ended."""
        self._over.set()
        self._thread.join()


def _columns() -> tuple[ProgressColumn, ...]:
    return (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
