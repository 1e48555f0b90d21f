"""One replica of an RM per device, behind the same calls: work is dealt out, and a device that dies is left behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Generic, Protocol, TypeVar

import torch

from miner.errors import ModelError


class Member(Protocol):
    """What works on one device."""

    device: str


M = TypeVar("M", bound=Member)
T = TypeVar("T")
R = TypeVar("R")
SIGNS = ("cuda error", "device-side assert", "unspecified launch failure", "mps backend", "hip error", "device lost")
MIN_ITEMS_EACH = 8  # items below which another device is not worth the threads


@dataclass(slots=True)
class Fleet(Generic[M]):
    """The replicas that still work, and the devices that do not, with what they said."""

    members: list[M]
    lost: list[str] = field(default_factory=list)

    @property
    def lead(self) -> M:
        """The replica for what is not dealt out.

        Raises:
            ModelError: there is none left.
        """
        if not self.members:
            raise ModelError(
                f"every device failed ({'; '.join(self.lost)}). What was found is stored: run the same command again, "
                "with another --device where one stays dead"
            )
        return self.members[0]

    def spread(self, items: Sequence[T], work: Callable[[M, Sequence[T]], Sequence[R]]) -> list[R]:
        """``work`` over all items, in their order; a dead device's share is done by the others.

        Raises:
            ModelError: no device is left. Whatever ``work`` raises for another reason.
        """
        n = max(1, min(len(self.members), len(items) // MIN_ITEMS_EACH))
        if n == 1:
            return self._alone(items, work)
        bounds = [len(items) * at // n for at in range(n + 1)]
        parts = [items[start:end] for start, end in pairwise(bounds)]
        workers = self.members[:n]
        with ThreadPoolExecutor(n) as pool:
            futures = [pool.submit(work, one, part) for one, part in zip(workers, parts, strict=True)]
        results: list[R] = []
        for one, part, future in zip(workers, parts, futures, strict=True):
            results += self._result(one, part, future, work)
        return results

    def _result(
        self,
        member: M,
        part: Sequence[T],
        future: Future[Sequence[R]],
        work: Callable[[M, Sequence[T]], Sequence[R]],
    ) -> list[R]:
        error = future.exception()
        if error is None:
            return list(future.result())
        if not is_lost(error):
            raise error
        self._lose(member, error)
        return self._alone(part, work)

    def _alone(self, items: Sequence[T], work: Callable[[M, Sequence[T]], Sequence[R]]) -> list[R]:
        while True:
            lead = self.lead
            try:
                return list(work(lead, items))
            except Exception as error:
                if not is_lost(error):
                    raise
                self._lose(lead, error)

    def _lose(self, member: M, error: BaseException) -> None:
        if member in self.members:
            self.members.remove(member)
            self.lost.append(f"{member.device}: {str(error).splitlines()[0]}")


def is_lost(error: BaseException) -> bool:
    """Whether the error says that the device, not the work, is at fault."""
    accelerator: Any = getattr(torch, "AcceleratorError", ())
    return isinstance(error, accelerator) or (
        isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in SIGNS)
    )
