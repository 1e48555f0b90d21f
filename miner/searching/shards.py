"""A stage's attempts shared among processes that know nothing of each other but the corpus.

Nothing is locked: an attempt is named by what defines it, so that one made twice is stored once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from corpus import Corpus
from corpus.records import Attempt
from corpus.writer import Writer
from miner.errors import ConfigError
from miner.searching.attempts import Plan

ARRAYS = (
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN"),
    ("JOB_COMPLETION_INDEX", "", ""),  # Kubernetes tells a pod its index, not how many there are
)
"""Index, number and lowest index of a process in the arrays that run many of one command."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Part ``index`` (from 0) of ``count`` of a stage's attempts."""

    index: int = 0
    count: int = 1

    def waves(self, plans: Sequence[Plan], corpus: Corpus, writer: Writer, size: int) -> Iterator[Sequence[Plan]]:
        """Its own plans, then, ``size`` at a time and in an order of its own, those that nobody has stored yet: at the
        end all are, whoever made them."""
        if self.count == 1:
            yield plans
            return
        yield [plan for plan in plans if self.owns(plan)]
        left = [plan for plan in plans if not self.owns(plan)]
        Random(f"{self.index}/{self.count}").shuffle(left)
        attempts, stored = corpus.follow(Attempt), set[str]()
        while left:
            writer.flush()
            stored.update(attempt.attempt_id for attempt in attempts.news())
            left = [plan for plan in left if plan.attempt_id not in stored]
            if left:
                yield left[:size]
                left = left[size:]

    def owns(self, plan: Plan) -> bool:
        return int(plan.attempt_id[:8], 16) % self.count == self.index


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
