"""Batches of similar length, halved for good when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from miner.errors import ModelError


@dataclass(slots=True)
class TokenBudget:
    """How many padded tokens fit one forward pass on this machine; shrinks on out-of-memory and stays shrunk."""

    batch_tokens: int

    def run(
        self,
        lengths: Sequence[int],
        forward: Callable[[list[int]], npt.NDArray[np.float64]],
    ) -> npt.NDArray[np.float64]:
        """``forward`` (indices → one value each) over all items, longest first: shape (n_items,).

        Raises:
            ModelError: one item alone does not fit.
        """
        results = np.empty(len(lengths))
        waiting = list(np.argsort(lengths, kind="stable")[::-1])
        while waiting:
            batch = [int(i) for i in waiting[: max(1, self.batch_tokens // max(1, lengths[waiting[0]]))]]
            try:
                results[batch] = forward(batch)
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                self._shrink(len(batch), lengths[batch[0]], error)
                continue
            waiting = waiting[len(batch) :]
        return results

    def _shrink(self, n_items: int, length: int, error: RuntimeError) -> None:
        if n_items == 1:
            raise ModelError(
                f"one text of {length} tokens does not fit this device's memory. "
                "Try --dtype bfloat16, a shorter --max-length or another --device"
            ) from error
        self.batch_tokens = max(length, n_items * length // 2)


def out_of_memory(error: RuntimeError) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error).lower()


def chunks(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
