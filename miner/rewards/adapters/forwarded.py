"""Decoders whose head is more than one linear layer ``score``: asked through their own forward (Ettin, CTRL)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from miner.checkpoints.devices import device_of
from miner.rewards.adapters.encoder import EncoderRewardModel
from miner.rewards.compute.prefix_cache import padded
from miner.rewards.text.pipeline import Row

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@dataclass(kw_only=True, eq=False)
class ForwardedRewardModel(EncoderRewardModel):
    """Padded on the right with the id that the model's config skips when it looks for the last token; rows of models
    whose config names none go one at a time."""

    is_causal: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        pad = self.model.config.get_text_config().pad_token_id
        self._alone = not isinstance(pad, int)
        self.pad_id = self.pad_id if self._alone else pad

    def head_identity(self) -> list[object]:
        pad = self.model.config.get_text_config().pad_token_id
        return [type(self.model).__name__, "its own forward", pad, *self.readout.identity()]

    def logits(
        self, model: PreTrainedModel, rows: Sequence[Row], groups: Sequence[Hashable] | None = None
    ) -> torch.Tensor:
        import torch

        del groups
        together = [[row] for row in rows] if self._alone else [rows]
        return torch.cat([self._asked(model, some) for some in together])

    def _asked(self, model: PreTrainedModel, rows: Sequence[Row]) -> torch.Tensor:
        ids, mask, _ = padded([ids for ids, _ in rows], pad=self.pad_id, left=False, device=device_of(model))
        return self.readout.of_output(model(input_ids=ids, attention_mask=mask), n_rows=len(rows))
