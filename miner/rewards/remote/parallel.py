"""Calls that wait on a network, several at once; an error or Ctrl-C does not wait for those still under way."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_parallel(work: Callable[[T], R], items: Sequence[T], *, at_once: int) -> list[R]:
    """``work`` of every item, in their order; the first error ends all, and what had not begun is not begun.

    The threads are daemons: what a dead server keeps waiting does not keep this process alive.
    """
    if len(items) == 1 or at_once == 1:
        return [work(item) for item in items]
    waiting: queue.SimpleQueue[tuple[int, T]] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, R | BaseException]] = queue.SimpleQueue()
    stopped = threading.Event()
    for numbered in enumerate(items):
        waiting.put(numbered)

    def draw() -> None:
        while not stopped.is_set():
            try:
                at, item = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((at, work(item)))
            except BaseException as error:
                done.put((at, error))

    for _ in range(min(at_once, len(items))):
        threading.Thread(target=draw, daemon=True, name="remote").start()
    results: dict[int, R] = {}
    try:
        while len(results) < len(items):
            at, result = done.get()
            if isinstance(result, BaseException):
                raise result
            results[at] = result
    finally:
        stopped.set()
    return [results[at] for at in range(len(items))]
