"""Adapters (LoRA and the like) beside a model's weights: never applied because a library is installed.

transformers merges an adapter that it finds beside whole weights where peft is installed, and does not where it is not:
one folder, two models, one fingerprint. Here an adapter is applied where that was asked for, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from miner.checkpoints.tensors import INDEX, WHOLE
from miner.errors import ModelError

CONFIG = "adapter_config.json"
_LOOKS_FOR_ONE = "find_adapter_config_file"
_LOOKING = ("transformers.modeling_utils", "transformers.integrations.peft", "transformers.models.auto.auto_factory")


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no whole model."""
    return (folder / CONFIG).exists() and not _is_whole(folder)


def lies_beside_weights(folder: Path) -> bool:
    """Whether a folder holds both an adapter and whole weights, into which it may have been merged already."""
    return (folder / CONFIG).exists() and _is_whole(folder)


def _is_whole(folder: Path) -> bool:
    return (folder / WHOLE).exists() or (folder / INDEX).exists()


def require_no_adapter(folder: Path) -> None:
    """Refuse whole weights with an adapter beside them, for models of which nobody can say what is to become of it.

    Raises:
        ModelError: there is one.
    """
    if lies_beside_weights(folder):
        raise ModelError(
            f"{folder} holds {CONFIG} beside {WHOLE}: are the weights merged with it already? Take {CONFIG} out of the "
            "folder if they are; merge it if they are not (merge_and_unload, save_pretrained)"
        )


@contextmanager
def left_alone() -> Iterator[None]:
    """Within it transformers finds no adapter beside the weights that it loads, whatever is installed."""
    looking = [module for module in map(import_module, _LOOKING) if hasattr(module, _LOOKS_FOR_ONE)]
    before = [getattr(module, _LOOKS_FOR_ONE) for module in looking]
    for module in looking:
        setattr(module, _LOOKS_FOR_ONE, _none)
    try:
        yield
    finally:
        for module, found in zip(looking, before, strict=True):
            setattr(module, _LOOKS_FOR_ONE, found)


def _none(*_args: object, **_options: object) -> None:
    return None
