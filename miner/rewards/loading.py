"""Loads a reward model from a folder or a hub, and refuses what would give meaningless scores."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from miner.errors import ModelError
from miner.rewards.batching import TokenBudget
from miner.rewards.identity import fingerprint
from miner.rewards.pipeline import ChatPipeline, Pipeline, TextPairPipeline, Truncation
from miner.rewards.transformer import (
    CausalRewardModel,
    EncoderRewardModel,
    TransformerRewardModel,
    ranking_copy,
)
from miner.rewards.vocabulary import Vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

DType = Literal["auto", "float32", "bfloat16", "float16"]
BATCH_TOKENS = {"cpu": 4096, "mps": 16384, "cuda": 65536}
ENCODER_ARCHITECTURES = ("bert", "roberta", "deberta", "deberta-v2", "modernbert", "electra", "xlm-roberta", "distilbert")


def load_reward_model(
    source: str | Path,
    *,
    device: str = "auto",
    dtype: DType = "auto",
    revision: str | None = None,
    trust_remote_code: bool = False,
    max_length: int | None = None,
    truncation: Truncation = "error",
    ascii_only: bool = False,
    batch_tokens: int | None = None,
) -> TransformerRewardModel:
    """An RM with one label, from safetensors. ``dtype`` is the ranking dtype; confirmation is in fp32 where that fits.

    Raises:
        ModelError: no such model, more than one label, an untrained head, no tokenizer, pickle weights only.
    """
    place = resolve_device(device)
    folder = resolve_folder(str(source), revision)
    config = _config(folder, trust_remote_code)
    if config.num_labels != 1:
        raise ModelError(f"{source} has {config.num_labels} labels; a scalar RM has one. Pick a reward head with one label")
    model = _model(folder, trust_remote_code).to(place)
    tokenizer = load_tokenizer(folder, trust_remote_code)
    causal = config.model_type not in ENCODER_ARCHITECTURES and not getattr(config, "is_encoder_decoder", False)
    limit = max_length or _max_length(config, tokenizer)
    pipeline: Pipeline = (ChatPipeline if causal else TextPairPipeline)(
        tokenizer=tokenizer, max_length=limit, truncation=truncation
    )
    kind = CausalRewardModel if causal else EncoderRewardModel
    return kind(
        name=Path(str(source)).name,
        fingerprint=fingerprint(folder),
        model=model,
        ranking_model=ranking_copy(model, ranking_dtype(dtype, place)),
        pipeline=pipeline,
        vocabulary=Vocabulary.of(tokenizer, model.get_input_embeddings().weight.shape[0], ascii_only=ascii_only),
        budget=TokenBudget(batch_tokens or BATCH_TOKENS[place.type]),
    )


def resolve_device(device: str) -> torch.device:
    """``auto`` is CUDA, then MPS, then the CPU.

    Raises:
        ModelError: the device asked for is not on this machine.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    place = torch.device(device)
    missing = (place.type == "cuda" and not torch.cuda.is_available()) or (
        place.type == "mps" and not torch.backends.mps.is_available()
    )
    if missing:
        raise ModelError(f"device {device!r} is not available on this machine. Try: --device cpu")
    return place


def ranking_dtype(dtype: DType, place: torch.device) -> torch.dtype:
    """The dtype asked for; ``auto`` is bf16 where the hardware multiplies in it, else fp32."""
    if dtype != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[dtype]
    if place.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return torch.bfloat16 if place.type == "cpu" and _cpu_multiplies_bf16() else torch.float32


def _cpu_multiplies_bf16() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def resolve_folder(source: str, revision: str | None) -> Path:
    """A local folder as it is; a hub id as its downloaded snapshot.

    Raises:
        ModelError: neither; the message says what to try.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if source.count("/") > 1 or source.startswith((".", "/", "~")):
        raise ModelError(f"no model folder at {source}. Give a folder that save_pretrained wrote, or a hub id owner/name")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                source, revision=revision, allow_patterns=["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "*.py"]
            )
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"no model {source!r}: not a folder here, and the hub did not give it ({first})") from error


def _config(folder: Path, trust_remote_code: bool) -> PreTrainedConfig:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder} holds no model config that transformers reads: {str(error).splitlines()[0]}") from error


def _model(folder: Path, trust_remote_code: bool) -> PreTrainedModel:
    from transformers import AutoModelForSequenceClassification

    try:
        with quiet_transformers():
            model, info = AutoModelForSequenceClassification.from_pretrained(
                folder,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
            )
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot load {folder} as a sequence classifier: {str(error).splitlines()[0]}") from error
    if info["missing_keys"]:
        missing = ", ".join(sorted(info["missing_keys"])[:3])
        raise ModelError(f"{folder} has no trained weights for {missing}: a random head gives random scores. Train it first")
    model.eval().requires_grad_(False)
    return model  # type: ignore[no-any-return]


def load_tokenizer(folder: Path, trust_remote_code: bool = False) -> PreTrainedTokenizerFast:
    """The folder's fast tokenizer.

    Raises:
        ModelError: there is none.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"no tokenizer in {folder}: {str(error).splitlines()[0]}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ModelError(f"the tokenizer of {folder} is not a fast one: it gives no character offsets. Convert it first")
    return tokenizer


def _max_length(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast) -> int | None:
    limits = [getattr(config.get_text_config(), "max_position_embeddings", None), tokenizer.model_max_length]
    sensible = [int(limit) for limit in limits if limit and 0 < limit < 10**9]
    reserved = 2 if config.model_type in ("roberta", "xlm-roberta") else 0  # their positions start at pad + 1
    return min(sensible) - reserved if sensible else None


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No load report and no progress bar: what is missing is an error here, what is unused is no news."""
    from transformers.utils import logging as hf_logging

    loggers = [logging.getLogger("transformers"), logging.getLogger("transformers.modeling_utils")]
    before = [logger.level for logger in loggers]
    bars = hf_logging.is_progress_bar_enabled()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
        if bars:
            hf_logging.enable_progress_bar()
