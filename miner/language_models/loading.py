"""Loads a causal LM from a folder or a hub, safetensors only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from miner.checkpoints.adapters import left_alone, require_no_adapter
from miner.checkpoints.devices import resolve_device
from miner.checkpoints.folders import first_line, require_safetensors, resolve_folder
from miner.checkpoints.identity import fingerprint
from miner.checkpoints.loading import UNREADABLE, quiet_transformers
from miner.checkpoints.precision import choose
from miner.checkpoints.tokenizers import load_tokenizer
from miner.config.reward_model import DType
from miner.errors import ModelError
from miner.language_models.model import LanguageModel
from miner.language_models.ngram import is_ngram_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

FALLBACK_MAX_LENGTH = 2048


def load_language_model(
    source: str | Path,
    *,
    device: str = "auto",
    dtype: DType = "auto",
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> LanguageModel:
    """The causal LM in a local folder or under a hub id.

    "auto" is fp32: a check's values are compared with thresholds, so that they should depend on nothing but the text.

    Raises:
        ModelError: no such model, not a causal LM, weights missing, no fast tokenizer, neither a BOS nor an EOS token.
    """
    from transformers import GenerationConfig

    place = resolve_device(device)
    if is_ngram_model(Path(str(source))):
        raise ModelError(f"{source} counts n-grams: it can judge, not write. Give a causal LM's folder")
    folder, precision = resolve_folder(str(source), revision), choose("reading", place, dtype)
    require_safetensors(folder)
    require_no_adapter(folder)
    tokenizer = load_tokenizer(folder, trust_remote_code)
    model = _model(folder, precision.dtype, trust_remote_code).to(place)  # type: ignore[arg-type]
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if start is None:
        raise ModelError(
            f"the tokenizer of {source} has neither a BOS nor an EOS token: its LM has no way to start a text"
        )
    end_tokens = _end_tokens(model)
    # A model may bring its own top-k, penalties or length; what is sampled here is what the caller asked for.
    model.generation_config = GenerationConfig()
    return LanguageModel(
        name=Path(str(source)).name,
        fingerprint=fingerprint(folder),
        dtype=precision.name,
        model=model,
        tokenizer=tokenizer,
        start_token=int(start),
        end_tokens=end_tokens,
        max_length=_max_length(model, tokenizer),
    )


def _model(folder: Path, dtype: torch.dtype, trust_remote_code: bool) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    try:
        with quiet_transformers(), left_alone():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
            )
    except UNREADABLE as error:
        raise ModelError(f"cannot load {folder} as a causal LM: {first_line(error)}") from error
    model: PreTrainedModel = loaded[0]
    if missing_keys := loaded[1]["missing_keys"]:
        missing = ", ".join(sorted(missing_keys)[:3])
        raise ModelError(
            f"{folder} has no trained weights for {missing}: it would write noise. Give a causal LM's folder"
        )
    model.requires_grad_(False).train(False)
    return model


def _end_tokens(model: PreTrainedModel) -> tuple[int, ...]:
    generation, config = model.generation_config, model.config
    found = getattr(generation, "eos_token_id", None)
    found = getattr(config, "eos_token_id", None) if found is None else found
    return () if found is None else tuple(found) if isinstance(found, (list, tuple)) else (int(found),)


def _max_length(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> int:
    limits = [getattr(model.config.get_text_config(), "max_position_embeddings", None), tokenizer.model_max_length]
    return min((int(limit) for limit in limits if limit and 0 < limit < 10**9), default=FALLBACK_MAX_LENGTH)
