"""Whether a model fits its device, by arithmetic on its files' headers, before any of it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psutil
import torch

from miner.checkpoints.tensors import Tensor, stored_dtype
from miner.errors import NoRoomError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}
COPY_BYTES, TRAINED_BYTES = 4, 12  # per weight: a copy in fp32; of those trained a gradient and AdamW's two moments
GIB = 1 << 30
CGROUP = Path("/sys/fs/cgroup")

FreeBytes = Callable[[torch.device], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """What an RM holds in memory: a copy that confirms and, in another dtype, one that ranks.

    ``exact`` is a dtype's name or "native"; ``ranking`` is None where one copy does both.
    """

    exact: str
    ranking: str | None

    def n_bytes(self, tensors: Mapping[str, Tensor]) -> int:
        return sum(n for _, n in self.parts(tensors))

    def parts(self, tensors: Mapping[str, Tensor]) -> list[tuple[str, int]]:
        """What each copy takes, with its purpose in words."""
        named = [(f"to confirm in {self.exact}", self.exact)]
        named += [] if self.ranking is None else [(f"to rank in {self.ranking}", self.ranking)]
        return [(purpose, _bytes_in(dtype, tensors)) for purpose, dtype in named]


def copies(
    exact: Literal["float32", "native"], ranking: str, tensors: Mapping[str, Tensor], *, single: bool = False
) -> Copies:
    """The copies that these dtypes ask for; ``single`` where one copy does both whatever they say."""
    one_does_both = single or ranking == (stored_dtype(tensors) if exact == "native" else exact)
    return Copies(exact=exact, ranking=None if one_does_both else ranking)


def require_room(
    tensors: Mapping[str, Tensor], wanted: Copies, device: torch.device, free_bytes: FreeBytes | None = None
) -> None:
    """Refuse a model whose weights are larger than what is free on ``device``.

    Raises:
        NoRoomError: they are; the message holds the arithmetic and what would fit.
    """
    free, needed = (free_bytes or free_memory)(device), wanted.n_bytes(tensors)
    if needed <= free:
        return
    weights = sum(tensor.numel for tensor in tensors.values())
    sums = " + ".join(f"{n / GIB:.2f} GiB {purpose}" for purpose, n in wanted.parts(tensors))
    raise NoRoomError(
        f"the model does not fit {device}: {weights / 1e9:.3g} billion weights take {needed / GIB:.2f} GiB ({sums}), "
        f"{free / GIB:.2f} GiB are free. {_advice(tensors, free)}"
    )


def require_training_room(
    model: PreTrainedModel, device: torch.device, frozen: tuple[str, ...] = (), free_bytes: FreeBytes | None = None
) -> None:
    """Refuse to train where a copy in fp32, and gradients and AdamW's two moments of the weights whose names do not
    begin as ``frozen`` says, are more than is free on ``device``.

    Raises:
        NoRoomError: they are; the message holds the arithmetic and what would fit.
    """
    free, sizes = (free_bytes or free_memory)(device), {name: one.numel() for name, one in model.named_parameters()}
    weights = sum(sizes.values())
    trained = sum(n for name, n in sizes.items() if not name.startswith(frozen))
    if (needed := COPY_BYTES * weights + TRAINED_BYTES * trained) > free:
        raise NoRoomError(
            f"training {trained / 1e9:.3g} of {weights / 1e9:.3g} billion weights takes {needed / GIB:.2f} GiB on "
            f"{device} (a copy of all in fp32, gradients and two moments of the trained ones), {free / GIB:.2f} GiB "
            "are free. Train an adapter: --set patch.lora_rank=16"
        )


def _advice(tensors: Mapping[str, Tensor], free: int) -> str:
    """The least coarse setting that fits."""
    settings = {
        "--set rm.confirm_dtype=float32 --dtype float32": Copies(exact="float32", ranking=None),
        "--set rm.confirm_dtype=native --dtype bfloat16": Copies(
            exact="native", ranking=copies("native", "bfloat16", tensors).ranking
        ),
    }
    for setting, kept in settings.items():
        if (needed := kept.n_bytes(tensors)) <= free:
            return f"{needed / GIB:.2f} GiB would fit: {setting}"
    return "Spread it over devices, memory and disk: --set rm.device_map=auto --set rm.confirm_dtype=native"


def _bytes_in(dtype: str, tensors: Mapping[str, Tensor]) -> int:
    if dtype == "native":
        return sum(tensor.n_bytes for tensor in tensors.values())
    return sum(tensor.numel for tensor in tensors.values()) * BYTES[dtype]


def free_memory(device: torch.device) -> int:
    """Bytes free on a device; of the CPU what the machine has left, or this container."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return min([int(psutil.virtual_memory().available), *_container()])


def _container() -> list[int]:
    try:
        limit = (CGROUP / "memory.max").read_text().strip()
        used = int((CGROUP / "memory.current").read_text())
        statistics = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        cached = int(statistics["file"])
    except (OSError, ValueError, KeyError):
        return []
    return [] if limit == "max" else [max(0, int(limit) - used + cached)]  # cached files give way
