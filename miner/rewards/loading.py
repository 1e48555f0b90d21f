"""Loads a reward model from a folder or a hub, and refuses what would give meaningless scores."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from miner.errors import ModelError
from miner.rewards.batching import TokenBudget, out_of_memory
from miner.rewards.causal import CausalRewardModel
from miner.rewards.devices import BATCH_TOKENS, DType, ranking_dtype, resolve_device, resolve_devices
from miner.rewards.encoder import EncoderRewardModel
from miner.rewards.fleet import Fleet
from miner.rewards.identity import fingerprint
from miner.rewards.pipeline import ChatPipeline, TextPairPipeline, Truncation
from miner.rewards.sources import first_line, require_safetensors, require_tokenizer, resolve_folder
from miner.rewards.transformer import TransformerRewardModel
from miner.rewards.vocabulary import Vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

__all__ = ["load_reward_model", "load_tokenizer", "quiet_transformers", "resolve_device", "resolve_folder"]

HEADS = ("score", "pooler", "head", "classifier")  # between the hidden states and the reward, in transformers' models
UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError)  # what loaders raise on bad files


def load_reward_model(
    source: str | Path,
    *,
    device: str = "auto",
    dtype: DType = "auto",
    confirm_dtype: Literal["float32", "native"] = "float32",
    revision: str | None = None,
    trust_remote_code: bool = False,
    max_length: int | None = None,
    truncation: Truncation = "error",
    ascii_only: bool = False,
    batch_tokens: int | None = None,
) -> TransformerRewardModel:
    """An RM with one label, from safetensors. ``dtype`` ranks. Several devices, by commas, get a replica each.

    ``reward`` is in fp32, whatever the weights are stored in; for a model that does not fit so, ask for
    ``confirm_dtype="native"``: the stored dtype, which then is the row's ``reward_dtype``.

    Raises:
        ModelError: no such model, more than one label, an untrained head, no fast tokenizer, pickled weights only, a
            device that is not here, a length the model cannot take.
    """
    places = resolve_devices(device)
    folder = resolve_folder(str(source), revision)
    config = _config(folder, trust_remote_code)
    _require_one_label(config, folder)
    exact: torch.dtype | Literal["auto"] = torch.float32 if confirm_dtype == "float32" else "auto"

    def replica(place: torch.device) -> TransformerRewardModel:
        tokenizer = load_tokenizer(folder, trust_remote_code)
        model = _model(folder, exact, place, trust_remote_code)
        ranks_in = ranking_dtype(dtype, place)
        ranking = (
            model if model.dtype == ranks_in else with_fp32_head(_model(folder, ranks_in, place, trust_remote_code))
        )
        causal = hasattr(model, "score")  # what transformers calls the head of every decoder, and of no encoder
        pipeline = (ChatPipeline if causal else TextPairPipeline)(
            tokenizer=tokenizer, max_length=_limit(model, tokenizer, max_length), truncation=truncation
        )
        embedding: Any = model.get_input_embeddings()
        return (CausalRewardModel if causal else EncoderRewardModel)(
            name=Path(str(source)).name,
            fingerprint=fingerprint(folder),
            model=model,
            ranking_model=ranking,
            pipeline=pipeline,
            vocabulary=Vocabulary.of(tokenizer, len(embedding.weight), ascii_only=ascii_only),
            budget=TokenBudget(batch_tokens or BATCH_TOKENS[place.type]),
        )

    first, *others = map(replica, places)
    if others:
        first.fleet = Fleet([first, *others])
    return first


def with_fp32_head(model: PreTrainedModel) -> PreTrainedModel:
    """``model`` with the modules that read the reward off its hidden states in fp32.

    They cost nothing, and a bf16 reward near 3 comes in steps of 1/64: too coarse to climb on.
    """

    def upcast(_module: object, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(x.float() if isinstance(x, torch.Tensor) and x.is_floating_point() else x for x in inputs)

    owned = (getattr(owner, name, None) for owner in (model, model.base_model) for name in HEADS)
    for module in {id(module): module for module in owned if isinstance(module, torch.nn.Module)}.values():
        module.float().register_forward_pre_hook(upcast)
    return model


def _config(folder: Path, trust_remote_code: bool) -> PreTrainedConfig:
    from transformers import AutoConfig

    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except UNREADABLE as error:
        hint = " Try: --set rm.trust_remote_code=true" if "trust_remote_code" in str(error) else ""
        raise ModelError(
            f"{folder} holds no model config that transformers reads: {first_line(error)}.{hint}"
        ) from error
    return config


def _require_one_label(config: PreTrainedConfig, folder: Path) -> None:
    if config.num_labels == 1:
        return
    kinds = config.architectures or []
    if kinds and not any("SequenceClassification" in kind for kind in kinds):
        raise ModelError(
            f"{folder} is a {kinds[0]} without a reward head: a random head gives random scores. "
            "Give a sequence classifier with one label"
        )
    raise ModelError(f"{folder} has {config.num_labels} labels; a scalar RM has one. Give a model with num_labels=1")


def _model(
    folder: Path, dtype: torch.dtype | Literal["auto"], place: torch.device, trust_remote_code: bool
) -> PreTrainedModel:
    from safetensors import SafetensorError
    from transformers import AutoModelForSequenceClassification

    require_safetensors(folder)
    try:
        with quiet_transformers():
            model, info = AutoModelForSequenceClassification.from_pretrained(
                folder,
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
            )
    except (*UNREADABLE, SafetensorError) as error:
        raise ModelError(f"cannot load {folder} as a sequence classifier: {first_line(error)}") from error
    if info["missing_keys"]:
        missing = ", ".join(sorted(info["missing_keys"])[:3])
        raise ModelError(
            f"{folder} has no trained weights for {missing}: a random head gives random scores. Train it first"
        )
    model.eval().requires_grad_(False)
    return _placed(model, place)


def _placed(model: Any, place: torch.device) -> PreTrainedModel:
    try:
        placed: PreTrainedModel = model.to(place)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise ModelError(
            f"the model does not fit {place} in {str(model.dtype).removeprefix('torch.')}. "
            'Try confirm_dtype="native", --dtype bfloat16 or another --device'
        ) from error
    return placed


def load_tokenizer(folder: Path, trust_remote_code: bool = False) -> PreTrainedTokenizerFast:
    """The folder's fast tokenizer.

    Raises:
        ModelError: there is none.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    require_tokenizer(folder)
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except UNREADABLE as error:
        raise ModelError(
            f"no fast tokenizer in {folder}: {first_line(error)}. Save one beside the model: tokenizer.json"
        ) from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ModelError(
            f"the tokenizer of {folder} is no fast one and gives no character offsets. Convert it to tokenizer.json"
        )
    return tokenizer


def position_limit(model: PreTrainedModel) -> int:
    """Tokens that the model's positions reach; 0 where its config names none."""
    positions = int(getattr(model.config.get_text_config(), "max_position_embeddings", None) or 0)
    table = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    if getattr(table, "padding_idx", None) is not None:
        positions -= table.padding_idx + 1  # type: ignore[union-attr]  # RoBERTa counts from behind its padding
    return positions


def _limit(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, asked: int | None) -> int | None:
    """Tokens an input may have: what was asked for, else the smaller of the model's and the tokenizer's limits."""
    positions = position_limit(model)
    if asked is not None:
        if asked < 1 or 0 < positions < asked:
            raise ModelError(
                f"maximum length {asked} is out of range: the model takes 1 to {positions or 'any'} tokens"
            )
        return asked
    sensible = [limit for limit in (positions, tokenizer.model_max_length) if 0 < limit < 10**9]
    return int(min(sensible)) if sensible else None


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
