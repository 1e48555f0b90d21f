"""Quantised weights: a ranking copy in int8, and checkpoints that come quantised.

int8 saves memory, not time.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch

from miner.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

INT8 = "int8"


def quantised_to_int8(model: PreTrainedModel, *, kept: tuple[str, ...]) -> PreTrainedModel:
    """``model`` with the weights of its linear layers in int8, those of the modules named ``kept`` left as they are.

    Raises:
        ModelError: torchao is not installed.
    """
    loggers = [logging.getLogger(name) for name in ("torchao", "torch.utils._pytree")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)  # about kernels of other machines
    try:
        from torchao.quantization import Int8WeightOnlyConfig, quantize_
    except ImportError as error:
        raise ModelError("rm.quantise needs torchao: pip install torchao") from error
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)

    def is_quantised(module: torch.nn.Module, name: str) -> bool:
        return isinstance(module, torch.nn.Linear) and not name.startswith(kept)

    quantize_(model, Int8WeightOnlyConfig(), filter_fn=is_quantised)
    whole: Any = model
    whole.quantised_as = INT8
    return model


def comes_quantised(config: PreTrainedConfig) -> bool:
    """Whether the checkpoint's weights are quantised ones."""
    return getattr(config, "quantization_config", None) is not None


def quantisation(model: PreTrainedModel) -> str | None:
    """How the weights of a loaded model are quantised; None where they are not."""
    config = getattr(model.config, "quantization_config", None)
    method = config.get("quant_method") if isinstance(config, dict) else getattr(config, "quant_method", None)
    own: str | None = getattr(model, "quantised_as", None)
    return own or (None if method is None else str(getattr(method, "value", method)))


def dtype_name(model: PreTrainedModel) -> str:
    """The dtype that a model computes in, and how its weights are quantised: "float32", "int8:bfloat16"."""
    computes_in, stored = str(model.dtype).removeprefix("torch."), quantisation(model)
    return computes_in if stored is None else f"{stored}:{computes_in}"
