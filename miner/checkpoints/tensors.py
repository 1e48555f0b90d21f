"""What a folder's safetensors hold, from their headers alone: names, shapes and dtypes, no weight read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from miner.errors import ModelError

LENGTH_BYTES = 8  # a safetensors file begins with the length of its header
MAX_HEADER_BYTES = 100 << 20
BITS = re.compile(r"[A-Z]+(\d+)")
WHOLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
OTHERS = ("adapter_model", "adapter.", "consolidated", "optimizer")  # files whose tensors are no part of the model
_NAMES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A stored tensor: its shape, and its dtype as safetensors spells it ("F32", "BF16", "I8")."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def numel(self) -> int:
        return prod(self.shape)

    @property
    def n_bytes(self) -> int:
        bits = BITS.match(self.dtype)
        return self.numel * (int(bits.group(1)) if bits else 8) // 8

    def __str__(self) -> str:
        return "×".join(map(str, self.shape)) or "scalar"


def stored_dtype(tensors: Mapping[str, Tensor]) -> str:
    """What most of a checkpoint is stored in: "float32", "bfloat16", "float16"; "" for anything else."""
    largest = max(tensors.values(), key=lambda tensor: tensor.numel, default=None)
    return _NAMES.get(largest.dtype, "") if largest else ""


def stored_tensors(folder: Path) -> dict[str, Tensor]:
    """Every tensor of the folder's checkpoint by name, in natural order.

    Raises:
        ModelError: a header is damaged.
    """
    found = {name: tensor for file in weight_files(folder) for name, tensor in _header(file)}
    return dict(sorted(found.items(), key=lambda item: natural(item[0])))


def tensors_for_heads(folder: Path) -> dict[str, Tensor]:
    """``stored_tensors`` and those of files beside them, where trainers of value heads put the head.

    Raises:
        ModelError: a header is damaged.
    """
    found = {name: tensor for file in files_beside(folder) for name, tensor in _header(file)}
    return dict(sorted((found | stored_tensors(folder)).items(), key=lambda item: natural(item[0])))


def files_beside(folder: Path) -> list[Path]:
    """Safetensors files that transformers does not read as the model's: a value head of its own, perhaps."""
    known = set(weight_files(folder))
    return sorted(
        file for file in folder.glob("*.safetensors") if file not in known and not file.name.startswith(OTHERS)
    )


def weight_files(folder: Path) -> list[Path]:
    """The shards that the index names, the whole model's one file, or every safetensors file where there is neither."""
    index = folder / INDEX
    if not index.exists():
        whole = folder / WHOLE
        return [whole] if whole.exists() else sorted(folder.glob("*.safetensors"))
    try:
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelError(f"{index} is damaged: {type(error).__name__}. Fetch it again") from error
    if missing := sorted(name for name in shards if not (folder / name).exists()):
        raise ModelError(f"{folder} lacks {missing[0]}, which its index names. Fetch it again")
    return sorted(folder / name for name in shards)


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key that puts "layer.2" before "layer.10"."""
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name))


def _header(file: Path) -> Iterator[tuple[str, Tensor]]:
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(LENGTH_BYTES), "little")
            if length > min(MAX_HEADER_BYTES, file.stat().st_size):
                raise ValueError("the header is longer than the file")
            header: Mapping[str, Any] = json.loads(stream.read(length))
        for name, entry in header.items():
            if name != "__metadata__":
                yield name, Tensor(tuple(entry["shape"]), str(entry["dtype"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"cannot load {file}: its header is damaged ({type(error).__name__}). Fetch it again"
        ) from error
