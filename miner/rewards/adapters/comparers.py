"""Models that compare two answers in one text. Their reward is the log-odds that the answer shown first is better."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from miner.rewards.adapters.answers import AnswerHead
from miner.rewards.adapters.causal import CausalRewardModel
from miner.rewards.adapters.encoder import EncoderRewardModel
from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.rewards.compute.prefix_cache import accepts, padded
from miner.rewards.text.pipeline import Row

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(kw_only=True, eq=False)
class LabelledDecoder(CausalRewardModel):
    """A decoder with a score head of one logit or two labels, where its own config pools."""

    first_label: int
    is_trainable = False
    reads_its_models_output = False

    def head_identity(self) -> list[object]:
        return [*super().head_identity(), "first label", self.first_label]


@dataclass(kw_only=True, eq=False)
class LabelledEncoder(EncoderRewardModel):
    """An encoder with one logit, or with two labels of which ``first_label`` says that the first answer is better."""

    first_label: int
    is_trainable = False
    reads_its_models_output = False

    def head_identity(self) -> list[object]:
        return [*super().head_identity(), "first label", self.first_label]

    def logits(
        self, model: PreTrainedModel, rows: Sequence[Row], groups: Sequence[Hashable] | None = None
    ) -> torch.Tensor:
        del groups
        ids, mask, _ = padded([ids for ids, _ in rows], pad=self.pad_id, left=False, device=model.device)
        inputs = {"input_ids": ids, "attention_mask": mask}
        if "token_type_ids" in self.pipeline.tokenizer.model_input_names and accepts(model, "token_type_ids"):
            inputs["token_type_ids"] = torch.zeros_like(ids)  # one text, whatever is in it
        logits: torch.Tensor = model(**inputs).logits  # (n_rows, 1 or 2)
        if logits.shape[1] == 1:
            return logits[:, 0]
        return logits[:, self.first_label] - logits[:, 1 - self.first_label]


@dataclass(kw_only=True, eq=False)
class AnsweringSeq2Seq(TransformerRewardModel):
    """An encoder-decoder (T5) whose first written token names the better answer. ``heads`` are by model."""

    heads: dict[PreTrainedModel, AnswerHead]
    read_as: tuple[object, ...]
    is_trainable = False

    def head_identity(self) -> list[object]:
        return [type(self.model).__name__, "first written token", *self.read_as]

    def logits(
        self, model: PreTrainedModel, rows: Sequence[Row], groups: Sequence[Hashable] | None = None
    ) -> torch.Tensor:
        del groups
        ids, mask, _ = padded([ids for ids, _ in rows], pad=self.pad_id, left=False, device=model.device)
        hidden = first_written(model, ids, mask)
        logits: torch.Tensor = self.heads[model](hidden)[:, 0]
        return logits


def first_written(model: PreTrainedModel, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The decoder's last hidden state at its start token, as the output embedding takes it: (n_rows, hidden)."""
    whole: Any = model
    encoded = whole.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
    start = torch.full((len(ids), 1), whole.config.decoder_start_token_id, device=ids.device)
    decoder = whole.get_decoder()
    out = decoder(input_ids=start, encoder_hidden_states=encoded, encoder_attention_mask=mask, use_cache=False)
    hidden: torch.Tensor = out.last_hidden_state[:, -1]
    scaled = getattr(whole.config, "scale_decoder_outputs", False)
    return hidden * whole.config.d_model**-0.5 if scaled else hidden


def embed_once(model: PreTrainedModel) -> None:
    """Let the encoder embed through the module that ``get_input_embeddings`` names, where gradients are taken.

    transformers gives encoder and decoder a module each, with the same weights.
    """
    whole: Any = model
    whole.get_encoder().set_input_embeddings(whole.get_input_embeddings())
