"""Weights into memory: from safetensors alone, whole, in the dtype asked for, and where they are to run."""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from miner.checkpoints.adapters import left_alone
from miner.checkpoints.batching import out_of_memory
from miner.checkpoints.folders import first_line, require_safetensors
from miner.checkpoints.quantised import comes_quantised
from miner.checkpoints.tensors import stored_tensors
from miner.errors import ModelError, NoRoomError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

UNREADABLE = (Exception,)  # on bad files loaders raise anything, AssertionError and errors of their own included
HEADS = ("score", "pooler", "head", "classifier")  # between the hidden states and the reward, in transformers' models


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """How a model is read and where it then lives; ``dtype`` "auto" is the stored one.

    ``device_map`` has accelerate spread it, ``offload_folder`` takes what goes to disk.
    """

    device: torch.device
    dtype: torch.dtype | Literal["auto"]
    attention: str | None = None
    trust_remote_code: bool = False
    device_map: str | Mapping[str, int | str] | None = None
    offload_folder: str | None = None

    def arguments(self) -> dict[str, Any]:
        """For ``from_pretrained``."""
        spread = (
            {} if self.device_map is None else {"device_map": self.device_map, "offload_folder": self.offload_folder}
        )
        attention = {} if self.attention is None else {"attn_implementation": self.attention}
        return {"dtype": self.dtype, "trust_remote_code": self.trust_remote_code, **attention, **spread}


def read_config(folder: Path, trust_remote_code: bool, model_type: str | None = None) -> PreTrainedConfig:
    """The folder's model config; ``model_type`` stands in for the one that it names.

    Raises:
        ModelError: there is none that transformers reads.
    """
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    try:
        if model_type is not None:
            with quiet_transformers():  # which warns that the types differ
                return CONFIG_MAPPING[model_type].from_pretrained(folder)
        config: PreTrainedConfig = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except UNREADABLE as error:
        hint = " Try: --set rm.trust_remote_code=true" if "trust_remote_code" in str(error) else ""
        raise ModelError(
            f"{folder} holds no model config that transformers reads: {first_line(error)}.{hint}"
        ) from error
    return config


def read_model(
    auto_class: str,
    folder: Path,
    options: LoadOptions,
    *,
    config: PreTrainedConfig | None = None,
    renamed: Mapping[str, str] | None = None,
) -> tuple[PreTrainedModel, set[str]]:
    """The folder's model by one of transformers' Auto classes, and the names of the weights that it lacks.

    ``config`` stands in for the folder's own; ``renamed`` are tensor names to change, patterns and what they become.

    Raises:
        ModelError: no safetensors, damaged or of other shapes than the config says, or no room for it.
    """
    import transformers

    require_safetensors(folder)
    arguments = options.arguments()
    arguments |= {"ignore_mismatched_sizes": True}  # they are named below, which transformers leaves to a log
    if options.device_map is None and config is not None and comes_quantised(config):
        arguments["device_map"] = {"": options.device}  # quantised weights do not move afterwards
    arguments |= {} if config is None else {"config": copy.deepcopy(config)}
    arguments |= {} if renamed is None else {"key_mapping": dict(renamed)}
    try:
        with quiet_transformers(), left_alone():
            model, info = getattr(transformers, auto_class).from_pretrained(
                folder,
                use_safetensors=True,
                output_loading_info=True,
                **arguments,
            )
    except UNREADABLE as error:
        said = _padding_without_embedding(config) or f"{first_line(error).rstrip('.')}{hint(error)}"
        raise ModelError(f"{_cannot(auto_class, folder)}: {said}") from error
    if info["mismatched_keys"]:
        raise ModelError(f"{_cannot(auto_class, folder)}: {_mismatch(info['mismatched_keys'])}")
    model.eval().requires_grad_(False)
    whole = model if "device_map" in arguments else to_device(model, options.device)
    return whole, set(info["missing_keys"]) | _untrained_though_ignored(model, folder)


def _cannot(auto_class: str, folder: Path) -> str:
    return f"cannot load {folder} as {'a sequence classifier' if 'Classification' in auto_class else 'a model'}"


def _padding_without_embedding(config: PreTrainedConfig | None) -> str | None:
    """What is wrong where the config's padding token lies behind the last embedding, which torch asserts."""
    text_config = None if config is None else config.get_text_config()
    pad, rows = getattr(text_config, "pad_token_id", None), getattr(text_config, "vocab_size", None)
    if not (isinstance(pad, int) and isinstance(rows, int) and pad >= rows):
        return None
    return (
        f"config.pad_token_id {pad} has no embedding (0 to {rows - 1}). Set pad_token_id in config.json to a token "
        "that has one and that no text holds, or to null"
    )


def hint(error: BaseException) -> str:
    """What to do about a library that is lacking, or does not run here."""
    if "flash" in str(error).lower() and "attention" in str(error).lower():
        return ". Ask for another attention: --set rm.attention=sdpa"
    if not isinstance(error, ImportError):
        return ""
    return ". Install that, or give the model unquantised"


def _mismatch(found: Collection[tuple[str, Sequence[int], Sequence[int]]]) -> str:
    """The first tensor whose stored shape is not what the config asks for."""
    name, stored, wanted = min((str(name), tuple(stored), tuple(wanted)) for name, stored, wanted in found)
    more = f", as are {len(found) - 1} more" if len(found) > 1 else ""
    shapes = ("×".join(map(str, shape)) for shape in (stored, wanted))
    return "{} is {} in the file, {} by config.json{}. Is it the config of the same model?".format(name, *shapes, more)


def _untrained_though_ignored(model: PreTrainedModel, folder: Path) -> set[str]:
    """Weights that the model's class bids transformers not to miss, and that no file here holds.

    They are drawn anew at every load; that a class says it does not mind makes no reward of it.
    """
    patterns = getattr(model, "_keys_to_ignore_on_load_missing", None) or ()
    tied = getattr(model, "all_tied_weights_keys", None) or {}
    lacking = {
        name
        for name, _ in model.named_parameters()
        if name not in tied and any(re.search(pattern, name) for pattern in patterns)
    }
    if not lacking:
        return lacking
    stored = tuple(f".{name}" for name in stored_tensors(folder))
    return {name for name in lacking if not any(f".{name}".endswith(one) or one.endswith(f".{name}") for one in stored)}


def to_device(model: Any, device: torch.device) -> PreTrainedModel:
    """``model`` on ``device``.

    Raises:
        NoRoomError: it does not fit.
    """
    try:
        on_device: PreTrainedModel = model.to(device)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise NoRoomError(
            f"the model does not fit {device} in {str(model.dtype).removeprefix('torch.')}. "
            'Try confirm_dtype="native", --dtype bfloat16 or another --device'
        ) from error
    return on_device


def with_fp32_head(model: PreTrainedModel, *names: str) -> PreTrainedModel:
    """``model`` with the modules that read the reward off its hidden states in fp32: transformers' own and ``names``.

    They cost nothing, and a bf16 reward near 3 comes in steps of 1/64: too coarse to climb on. One that is kept on disk
    stays as it is.
    """

    def upcast(_module: object, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(x.float() if isinstance(x, torch.Tensor) and x.is_floating_point() else x for x in inputs)

    owned = [getattr(owner, name, None) for owner in (model, model.base_model) for name in HEADS]
    owned += [model.get_submodule(name) for name in names]
    for module in {id(module): module for module in owned if isinstance(module, torch.nn.Module)}.values():
        if any(parameter.is_meta for parameter in module.parameters()):
            continue
        module.float().register_forward_pre_hook(upcast)
    return model


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No load report and no progress bar: what is missing is an error here, what is unused is no news."""
    from transformers.utils import logging as hf_logging

    bars: Any = hf_logging
    loggers = [logging.getLogger("transformers"), logging.getLogger("transformers.modeling_utils")]
    before = [logger.level for logger in loggers]
    shown = hf_logging.is_progress_bar_enabled()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    bars.disable_progress_bar()
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
        if shown:
            bars.enable_progress_bar()
