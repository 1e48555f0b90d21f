"""Sentence embeddings from a folder, as sentence-transformers saves them or as a plain encoder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from miner.checkpoints.adapters import left_alone, require_no_adapter
from miner.checkpoints.devices import resolve_device
from miner.checkpoints.folders import resolve_folder
from miner.checkpoints.identity import fingerprint
from miner.checkpoints.loading import quiet_transformers
from miner.checkpoints.precision import choose
from miner.checkpoints.tokenizers import load_tokenizer
from miner.errors import ModelError
from miner.progress import Advance, untold

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

Floats = npt.NDArray[np.float64]
Pooling = Literal["mean", "cls", "lasttoken"]

BATCH_TEXTS = 64
MAX_TOKENS = 512
POOLINGS: dict[str, Pooling] = {
    "mean": "mean",
    "cls": "cls",
    "lasttoken": "lasttoken",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "lasttoken",
}


@dataclass(frozen=True, kw_only=True)
class SentenceEmbedding:
    """An encoder whose pooled states stand for texts. A text over ``max_length`` tokens is cut there."""

    name: str
    fingerprint: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    pooling: Pooling
    max_length: int

    def embed(self, texts: Sequence[str], progress: Advance = untold) -> Floats:
        """Unit vectors, shape (n_texts, n_dimensions): the same for the same text whatever stands beside it."""
        order = sorted(set(texts), key=len)
        parts = []
        for start in range(0, len(order), BATCH_TEXTS):
            parts.append(self._batch(order[start : start + BATCH_TEXTS]))
            progress(min(start + BATCH_TEXTS, len(order)), len(order))
        if not parts:
            return np.zeros((0, int(self.model.config.hidden_size)))
        at = {text: i for i, text in enumerate(order)}
        return np.concatenate(parts)[[at[text] for text in texts]]

    def _batch(self, texts: list[str]) -> Floats:
        encoded = self.tokenizer(
            texts, padding=True, padding_side="right", truncation=True, max_length=self.max_length, return_tensors="pt"
        ).to(self.model.device)
        with torch.inference_mode():
            hidden = self.model(**encoded).last_hidden_state.double()  # (n_texts, n_tokens, n_dimensions)
        mask = encoded["attention_mask"].double()
        if self.pooling == "cls":
            pooled = hidden[:, 0]
        elif self.pooling == "lasttoken":
            pooled = hidden[torch.arange(len(texts)), mask.sum(1).long() - 1]
        else:
            pooled = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        vectors: Floats = torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()
        return vectors


def load_embedding(source: str | Path, *, device: str = "auto", name: str | None = None) -> SentenceEmbedding:
    """The sentence embedding in a local folder or under a hub id. A folder that names no pooling is mean-pooled.

    Raises:
        ModelError: no such model, weights missing, no fast tokenizer, or a pooling that is none of mean, CLS, last
            token.
    """
    from transformers import AutoModel

    folder, place = resolve_folder(str(source), None), resolve_device(device)
    require_no_adapter(folder)
    tokenizer, pooling = load_tokenizer(folder, False), _pooling(folder)
    try:
        with quiet_transformers(), left_alone():
            loaded: Any = AutoModel.from_pretrained(
                folder, dtype=choose("reading", place).dtype, use_safetensors=True, output_loading_info=True
            )
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot load {folder} as a sentence embedding: {str(error).splitlines()[0]}") from error
    if missing := [key for key in sorted(loaded[1]["missing_keys"]) if "pooler" not in key]:
        raise ModelError(
            f"{folder} has no trained weights for {missing[0]}: it would embed noise. Give --embedding another folder"
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    model = loaded[0].to(place).requires_grad_(False).train(False)
    return SentenceEmbedding(
        name=name or Path(str(source)).name,
        fingerprint=fingerprint(folder),
        model=model,
        tokenizer=tokenizer,
        pooling=pooling,
        max_length=min(MAX_TOKENS, int(getattr(model.config, "max_position_embeddings", None) or MAX_TOKENS) - 2),
    )


def _pooling(folder: Path) -> Pooling:
    """What ``1_Pooling/config.json`` says: one switch per way (older files), or the way's name."""
    path = folder / "1_Pooling" / "config.json"
    if not path.exists():
        return "mean"
    config = json.loads(path.read_text(encoding="utf-8"))
    switched_on = [name for name, on in config.items() if name.startswith("pooling_mode_") and on]
    ways = [config["pooling_mode"]] if "pooling_mode" in config else switched_on
    known = [POOLINGS[way] for way in ways if way in POOLINGS]
    if len(ways) != 1 or not known:
        raise ModelError(
            f"{path} pools by {', '.join(map(str, ways)) or 'nothing'}; expected one of mean, CLS or last token. "
            "Give --embedding another folder"
        )
    return known[0]
