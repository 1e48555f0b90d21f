"""Batches that fit the memory of this machine, halved for good when it runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from miner.errors import NoRoomError

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")  # CUDA, CPU, cuBLAS


@dataclass(slots=True)
class TokenBudget:
    """How many padded tokens fit one forward pass on this machine; shrinks on out-of-memory and stays shrunk."""

    batch_tokens: int

    def run(
        self,
        lengths: Sequence[int],
        forward: Callable[[list[int]], npt.NDArray[np.float64]],
        order: Sequence[int] | None = None,
        *,
        memory_factor: int = 1,
    ) -> npt.NDArray[np.float64]:
        """``forward`` (indices → one value each) over all items, in ``order`` or longest first: shape (n_items,).

        ``memory_factor`` is the memory of one of its tokens, in tokens of a plain forward pass.

        Raises:
            NoRoomError: one item alone does not fit.
        """
        results = np.empty(len(lengths))
        waiting = [int(i) for i in (np.argsort(lengths, kind="stable")[::-1] if order is None else order)]
        while waiting:
            batch = self._next_batch(waiting, lengths, self.batch_tokens // memory_factor)
            try:
                results[batch] = forward(batch)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                self._shrink(len(batch), max(lengths[i] for i in batch), memory_factor, error)
            else:
                waiting = waiting[len(batch) :]
                continue
            release_memory()  # here, where the traceback no longer holds the batch's tensors
        return results

    def _next_batch(self, waiting: Sequence[int], lengths: Sequence[int], batch_tokens: int) -> list[int]:
        longest = lengths[waiting[0]]
        n = 1
        while n < len(waiting):
            longest = max(longest, lengths[waiting[n]])
            if (n + 1) * longest > batch_tokens:
                break
            n += 1
        return list(waiting[:n])

    def _shrink(self, n_items: int, length: int, memory_factor: int, error: BaseException) -> None:
        if n_items == 1:
            raise NoRoomError(
                f"one text of {length} tokens does not fit this device's memory. "
                "Try --dtype bfloat16, --set rm.max_length=N or another --device"
            ) from error
        self.batch_tokens = memory_factor * max(length, n_items * length // 2)


def out_of_memory(error: BaseException) -> bool:
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(sign in str(error).lower() for sign in OUT_OF_MEMORY)


def release_memory() -> None:
    """Give cached blocks back, so that a smaller batch does not meet the fragments of the one that failed."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
