"""A stage's work shared among processes that know nothing of each other but what is stored.

Nothing is locked: an attempt, or a row of a triage, is named by what defines it, so that one made twice is stored once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from miner.errors import ConfigError

T = TypeVar("T")

ARRAYS = (
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN"),
    ("JOB_COMPLETION_INDEX", "", ""),  # Kubernetes tells a pod its index, not how many there are
)
"""Index, number and lowest index of a process in the arrays that run many of one command."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Part ``index`` (from 0) of ``count`` of a stage's work."""

    index: int = 0
    count: int = 1

    def waves(
        self, items: Sequence[T], key: Callable[[T], str], stored: Callable[[], Container[str]], *, size: int
    ) -> Iterator[Sequence[T]]:
        """Its own items by their ``key`` (hex digits), then, ``size`` at a time and in an order of its own, those whose
        key nobody has ``stored`` yet: at the end all are, whoever did it."""
        if self.count == 1:
            yield items
            return
        yield [item for item in items if self.owns(key(item))]
        left = [item for item in items if not self.owns(key(item))]
        Random(f"{self.index}/{self.count}").shuffle(left)
        while left:
            known = stored()
            left = [item for item in left if key(item) not in known]
            if left:
                yield left[:size]
                left = left[size:]

    def owns(self, key: str) -> bool:
        return int(key[:8], 16) % self.count == self.index


WHOLE = Shard()


def shard_of(text: str | None, environment: Mapping[str, str] = os.environ) -> Shard:
    """The shard that ``i/n`` names, i from 0; of ``n`` alone, or of nothing, the environment's index in a job array.

    Raises:
        ConfigError: neither form, an index that is not below the number, or a number without an index.
    """
    index, count = _in_array(environment)
    if text is None:
        return WHOLE if index is None or count is None else _checked(index, count, "the job array")
    found = re.fullmatch(r"(?:(\d+)/)?(\d+)", text.strip())
    if found is None:
        raise ConfigError(f"--shard {text}: expected i/n, i from 0 to n-1, or n in a job array")
    if found[1] is None and index is None:
        names = " or ".join(array[0] for array in ARRAYS)
        raise ConfigError(f"--shard {text}: which of the {text}? Give i/{text}; no {names} says it")
    return _checked(index if found[1] is None else int(found[1]), int(found[2]), f"--shard {text}")


def _in_array(environment: Mapping[str, str]) -> tuple[int | None, int | None]:
    for index, count, lowest in ARRAYS:
        if environment.get(index, "").isdecimal():
            first = int(environment.get(lowest) or 0)
            return int(environment[index]) - first, int(environment[count]) if environment.get(count) else None
    return None, None


def _checked(index: int | None, count: int, where: str) -> Shard:
    if index is None or not 0 <= index < count:
        raise ConfigError(f"{where}: part {index} of {count} is none; expected 0 to {max(0, count - 1)}")
    return Shard(index, count)
