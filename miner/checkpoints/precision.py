"""In which dtype anything computes: timed on the device at hand, since names and flags of processors promise too much.

===========  ==========================================================================================
purpose      exact enough beside float32
===========  ==========================================================================================
``ranking``  bfloat16: leaders are scored again in float32 and every win is confirmed in it. float16 only for
             weights that are stored in it: activations of others may overflow
``training`` bfloat16 products (autocast) over weights and optimiser states in float32
``reading``  nothing: likelihoods, samples and verdicts are to be the same on every machine
===========  ==========================================================================================
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

import torch

from miner.config.reward_model import DType
from miner.errors import ModelError

Purpose = Literal["ranking", "training", "reading"]

FASTER = 1.2  # what a coarser dtype has to gain over float32: a model is not products alone
PRODUCT = (128, 256, 512)  # 34 MFLOP on a CPU: under a millisecond in what it can multiply in
LARGE_PRODUCT = (2048, 2048, 2048)  # on accelerators, where a small one measures the call alone
REPEATS = 5
ENOUGH_S = 0.02  # of timing one dtype

_DTYPES = {name: getattr(torch, name) for name in get_args(DType) if name != "auto"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """A dtype, and why this one."""

    dtype: torch.dtype
    reason: str

    @property
    def name(self) -> str:
        """As configs spell it: "float32"."""
        return name_of(self.dtype)

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


def choose(purpose: Purpose, device: torch.device, asked: DType = "auto", *, stored: str = "") -> Precision:
    """The dtype for ``purpose`` on ``device``: the one asked for, or with "auto" the fastest that is exact enough.

    ``stored`` names the dtype of the model's weights, where that is known.

    Raises:
        ModelError: no such dtype.
    """
    if asked != "auto":
        return Precision(dtype=dtype_of(asked), reason="as asked for")
    if purpose == "reading":
        return Precision(dtype=torch.float32, reason="the same on every machine")
    coarse = torch.float16 if purpose == "ranking" and stored == "float16" else torch.bfloat16
    plain, fast = gflops(str(device), torch.float32), gflops(str(device), coarse)
    measured = f"products at {fast:.3g} GFLOP/s in {name_of(coarse)}, {plain:.3g} in float32"
    return Precision(dtype=coarse if fast > FASTER * plain else torch.float32, reason=measured)


def dtype_of(name: str) -> torch.dtype:
    """The torch dtype of that name.

    Raises:
        ModelError: no such dtype.
    """
    if name not in _DTYPES:
        raise ModelError(f"dtype {name!r} is unknown. Try: --dtype {'|'.join(get_args(DType))}")
    found: torch.dtype = _DTYPES[name]
    return found


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


@cache
def gflops(device: str, dtype: torch.dtype) -> float:
    """The rate of one product of this dtype, measured once per process; 0 where the device refuses it.

    On a CPU of one thread, in that thread's own time where it ticks finely (on Windows it does not): other work on the
    machine does not count.
    """
    place = torch.device(device)
    m, k, n = PRODUCT if place.type == "cpu" else LARGE_PRODUCT
    clock = time.thread_time if place.type == "cpu" and sys.platform != "win32" else time.perf_counter
    seconds: list[float] = []
    with _one_thread(), torch.inference_mode():
        try:
            left, right = torch.ones(m, k, dtype=dtype, device=place), torch.ones(k, n, dtype=dtype, device=place)
            _ = left @ right  # kernels are made and loaded
            while len(seconds) < REPEATS and sum(seconds) < ENOUGH_S:
                _synchronise(place)
                started = clock()
                _ = left @ right
                _synchronise(place)
                seconds.append(clock() - started)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, TypeError):  # the dtype does not exist there
            return 0.0
    return 2e-9 * m * k * n / max(min(seconds), 1e-9)


def measured_gflops(device: torch.device) -> dict[str, float]:
    """What ``auto`` went by, for summaries."""
    return {name_of(dtype): round(gflops(str(device), dtype), 1) for dtype in (torch.float32, torch.bfloat16)}


def _synchronise(place: torch.device) -> None:
    if place.type != "cpu":
        torch.accelerator.synchronize(place)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
