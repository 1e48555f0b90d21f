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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

import torch

from miner.config.reward_model import DType
from miner.errors import ModelError

Purpose = Literal["ranking", "training", "reading"]

GAIN = 1.2  # what a coarser dtype has to gain over float32: a model is not products alone
TRAINING_GAIN = 2.0  # a block that gained 1.4 was, with optimiser and loss, docs world's RM that lost a fifth
SMALL = (128, 256)  # tokens and width of the work on a CPU: a millisecond or two
LARGE = (2048, 2048)  # on accelerators, where small work measures the call alone
REPEATS = 25  # the best counts: of five, all may fall into a moment in which a neighbour has the core
MAX_TIMING_S = 0.05  # of timing one dtype

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
    found = _faster(device, coarse, "ranking", GAIN)
    if purpose == "training" and found.dtype == coarse:
        found = _faster(device, coarse, "training", TRAINING_GAIN)
    return found


def _faster(device: torch.device, coarse: torch.dtype, purpose: Purpose, gain: float) -> Precision:
    plain, fast = (gflops(str(device), dtype, purpose) for dtype in (torch.float32, coarse))
    work = "training steps" if purpose == "training" else "products"
    reason = f"{work} at {fast:.3g} GFLOP/s in {name_of(coarse)}, {plain:.3g} in float32"
    return Precision(dtype=coarse if fast > gain * plain else torch.float32, reason=reason)


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
def gflops(device_name: str, dtype: torch.dtype, purpose: Purpose = "ranking") -> float:
    """GFLOP/s of one small piece of work in this dtype, measured once per process; 0 where the device refuses it.

    A product; for training a feed-forward block forward and backward, since casts and what lies between the products
    may cost more than the products save. On a CPU of one thread, in that thread's own time where it ticks finely (on
    Windows it does not): other work on the machine does not count.
    """
    device = torch.device(device_name)
    n_tokens, hidden = SMALL if device.type == "cpu" else LARGE
    clock = time.thread_time if device.type == "cpu" and sys.platform != "win32" else time.perf_counter
    seconds: list[float] = []
    with _one_thread():
        try:
            make = _training_step if purpose == "training" else _product
            work, flops = make(device, dtype, n_tokens, hidden)
            work()  # kernels are made and loaded
            while len(seconds) < REPEATS and sum(seconds) < MAX_TIMING_S:
                _synchronise(device)
                started = clock()
                work()
                _synchronise(device)
                seconds.append(clock() - started)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, TypeError):  # the dtype does not exist there
            return 0.0
    return 1e-9 * flops / max(min(seconds), 1e-9)


Work = tuple[Callable[[], object], float]  # a piece of work, and its FLOPs


def _product(device: torch.device, dtype: torch.dtype, n_tokens: int, hidden: int) -> Work:
    left = torch.ones(n_tokens, hidden, dtype=dtype, device=device)
    right = torch.ones(hidden, 2 * hidden, dtype=dtype, device=device)
    return lambda: left @ right, 4.0 * n_tokens * hidden**2


def _training_step(device: torch.device, dtype: torch.dtype, n_tokens: int, hidden: int) -> Work:
    with torch.random.fork_rng(devices=[]):
        block = torch.nn.Sequential(
            torch.nn.LayerNorm(hidden),
            torch.nn.Linear(hidden, 4 * hidden),
            torch.nn.GELU(),
            torch.nn.Linear(4 * hidden, hidden),
        ).to(device)
    inputs = torch.ones(n_tokens, hidden, device=device, requires_grad=True)

    def step() -> None:
        with torch.enable_grad(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            loss = block(inputs).float().sum()
        loss.backward()

    return step, 3 * 16.0 * n_tokens * hidden**2


def measured_gflops(device: torch.device) -> dict[str, float]:
    """GFLOP/s of products by dtype: what ranking's ``auto`` went by."""
    return {name_of(dtype): round(gflops(str(device), dtype), 1) for dtype in (torch.float32, torch.bfloat16)}


def _synchronise(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
