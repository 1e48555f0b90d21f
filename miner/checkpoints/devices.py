"""Where a model runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from miner.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BATCH_TOKENS = {"cpu": 1024, "mps": 16384, "cuda": 65536}  # where out-of-memory halving starts


def resolve_device(device: str) -> torch.device:
    """``auto`` is CUDA, then MPS, then the CPU.

    Raises:
        ModelError: the device asked for is not on this machine, or is none of ours.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise ModelError(f"device {device!r} is unknown. Try: --device {'|'.join(BATCH_TOKENS)}") from error
    present = {"cpu": 1, "mps": int(torch.backends.mps.is_available()), "cuda": torch.cuda.device_count()}
    if (place.index or 0) >= present.get(place.type, 0):
        raise ModelError(f"device {device!r} is not available on this machine. Try: --device cpu")
    return place


def resolve_devices(devices: str) -> list[torch.device]:
    """One or more devices, by commas: "cuda:0,cuda:1". Errors as ``resolve_device``."""
    return [resolve_device(device.strip()) for device in devices.split(",")]


def first_device(devices: str) -> str:
    """The first of several, where the models beside the RM run."""
    return devices.split(",")[0].strip()


def device_map_of(model: PreTrainedModel) -> dict[str, torch.device | None]:
    """Where accelerate has put each part of ``model``, None for the disk; empty where it lives on one device whole."""
    whole: Any = model
    mapped = getattr(whole, "hf_device_map", None) or getattr(whole.base_model, "hf_device_map", None) or {}
    return {name: None if place == "disk" else torch.device(place) for name, place in mapped.items()}


def device_of(model: PreTrainedModel) -> torch.device:
    """Where ``model`` is given its inputs: of a spread one the first device that computes."""
    places = [place for place in device_map_of(model).values() if place is not None]
    if not places:
        return torch.device("cpu") if device_map_of(model) else model.device
    return next((place for place in places if place.type != "cpu"), places[0])


def computes_on_several(model: PreTrainedModel) -> bool:
    """Whether parts of ``model`` compute on different devices; what is kept in memory or on disk computes elsewhere."""
    return len({place for place in device_map_of(model).values() if place is not None and place.type != "cpu"}) > 1
