"""Bidirectional encoders: prompt and response as a text pair, read off by the model's own head."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from miner.checkpoints.devices import device_of
from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.rewards.compute.prefix_cache import accepts, padded
from miner.rewards.text.pipeline import Row

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@dataclass(kw_only=True, eq=False)
class EncoderRewardModel(TransformerRewardModel):
    """Always padded on the right, whatever the tokenizer's ``padding_side`` says: these heads read the first token, and
    on the left that would be padding."""

    reads_its_models_output: ClassVar[bool] = True

    def head_identity(self) -> list[object]:
        pooling = getattr(self.model.config, "classifier_pooling", None)
        return [type(self.model).__name__, pooling, *self.readout.identity()]

    def logits(
        self, model: PreTrainedModel, rows: Sequence[Row], groups: Sequence[Hashable] | None = None
    ) -> torch.Tensor:
        del groups
        ids, mask, _ = padded([ids for ids, _ in rows], pad=self.pad_id, left=False, device=device_of(model))
        inputs = {"input_ids": ids, "attention_mask": mask}
        if "token_type_ids" in self.pipeline.tokenizer.model_input_names and accepts(model, "token_type_ids"):
            inputs["token_type_ids"], _, _ = padded(
                [types for _, types in rows], pad=0, left=False, device=device_of(model)
            )
        return self.readout.of_output(model(**inputs))
