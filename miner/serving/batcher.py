"""One thread that owns the RM, and puts what waits at the same time into one call.

Nothing is held back to fill a batch: what comes in while the RM works is the next batch.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from miner.errors import RmMinerError, TooLongError
from miner.rewards.base import Pair, RewardModel

Precision = Literal["ranking", "exact", "alone", "lengths"]


class BusyError(RmMinerError):
    """More is waiting than this server takes on."""


@dataclass(frozen=True, slots=True)
class BatchScores:
    """Rewards and token counts of one request's pairs, in their order; no rewards where only lengths were asked."""

    rewards: tuple[float, ...]
    n_tokens: tuple[int, ...]


class TooLongPairsError(TooLongError):
    """Some of the pairs are too long: ``n_tokens`` has None for them."""

    def __init__(self, message: str, n_tokens: Sequence[int | None]) -> None:
        super().__init__(message)
        self.n_tokens = tuple(n_tokens)


@dataclass(frozen=True, slots=True)
class _Job:
    precision: Precision
    pairs: tuple[Pair, ...]
    result: Future[BatchScores]


@dataclass(kw_only=True, eq=False)
class Batcher:
    """Scores for any number of threads. A batch has ``max_texts`` at most, unless one request alone has more;
    ``max_waiting`` texts may wait."""

    rm: RewardModel
    max_texts: int = 512
    max_waiting: int = 8192
    batches: int = field(default=0, init=False)
    texts: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._waiting: deque[_Job] = deque()
        self._n_waiting = 0
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="reward model", daemon=True)
        self._thread.start()

    def ask(self, precision: Precision, pairs: Sequence[Pair]) -> BatchScores:
        """Blocks until the RM has answered.

        Raises:
            BusyError: too much is waiting already, or the server is shutting down.
            TooLongPairsError, RmMinerError: as the RM's methods.
        """
        job = _Job(precision, tuple(pairs), Future())
        with self._changed:
            if self._closed or (self._n_waiting and self._n_waiting + len(pairs) > self.max_waiting):
                raise BusyError("shutting down" if self._closed else f"{self._n_waiting} texts are waiting already")
            self._waiting.append(job)
            self._n_waiting += len(pairs)
            self._changed.notify()
        return job.result.result()

    def close(self) -> None:
        """Answer what is waiting, and take on no more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            try:
                results: list[BatchScores | BaseException] = list(self._answers(batch))
            except Exception as error:
                results = [error] if len(batch) == 1 else [self._answer_alone(job) for job in batch]
            for job, result in zip(batch, results, strict=True):
                if isinstance(result, BaseException):
                    job.result.set_exception(result)
                else:
                    job.result.set_result(result)

    def _next_batch(self) -> list[_Job]:
        """The oldest job and those like it that fit beside it; empty when closed and done."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            batch: list[_Job] = []
            size, left = 0, deque[_Job]()
            for job in self._waiting:
                alike = not batch or job.precision == batch[0].precision
                if alike and (not batch or size + len(job.pairs) <= self.max_texts):
                    batch.append(job)
                    size += len(job.pairs)
                else:
                    left.append(job)
            self._waiting, self._n_waiting = left, self._n_waiting - size
        return batch

    def _answer_alone(self, job: _Job) -> BatchScores | BaseException:
        """One job of a batch that failed: its own answer, or its own error."""
        try:
            return self._answers([job])[0]
        except Exception as error:
            return error

    def _answers(self, batch: Sequence[_Job]) -> list[BatchScores]:
        unique = list(dict.fromkeys(pair for job in batch for pair in job.pairs))
        reward_of: dict[Pair, float] = {}
        try:
            if batch[0].precision != "lengths":
                reward_of = dict(zip(unique, self._rewards(batch[0].precision, unique), strict=True))
            n_tokens = dict(zip(unique, self.rm.lengths(unique), strict=True))  # which the scoring knows
        except TooLongError as error:
            if len(batch) > 1:
                raise
            raise TooLongPairsError(str(error), [self._length(pair) for pair in batch[0].pairs]) from error
        self.batches += 1
        self.texts += len(unique)
        return [
            BatchScores(
                tuple(reward_of[pair] for pair in job.pairs) if reward_of else (),
                tuple(n_tokens[pair] for pair in job.pairs),
            )
            for job in batch
        ]

    def _rewards(self, precision: Precision, pairs: Sequence[Pair]) -> list[float]:
        if precision == "alone":
            return [self.rm.reward(pair) for pair in pairs]
        rewards = self.rm.rewards(pairs) if precision == "ranking" else self.rm.exact_rewards(pairs)
        return [float(reward) for reward in np.asarray(rewards)]

    def _length(self, pair: Pair) -> int | None:
        try:
            return self.rm.n_tokens(pair)
        except TooLongError:
            return None
