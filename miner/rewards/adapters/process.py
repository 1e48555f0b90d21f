"""Process RMs: every step of a response has a score, read at the tag behind it; the reward is that of the last step.

Lightman et al. 2023 (arXiv:2305.20050) take the product of the steps' probabilities, Math-Shepherd (Wang et al. 2023,
arXiv:2312.08935) the least: both can be asked for. Scores are log-odds, which order texts as probabilities do but do
not flatten near 0 and 1; the product's is a log-probability.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from miner.rewards.adapters.causal import CausalRewardModel
from miner.rewards.compute.prefix_cache import Ids, accepts, padded
from miner.rewards.text.pipeline import Row

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Reduce = Literal["last", "min", "product"]


@dataclass(kw_only=True, eq=False)
class ProcessRewardModel(CausalRewardModel):
    """A decoder whose ``score`` gives log-odds at every token ``step_id``."""

    step_id: int
    reduce: Reduce
    read_as: tuple[object, ...]
    is_trainable = False
    can_truncate = False
    reads_its_models_output = False

    def head_identity(self) -> list[object]:
        return [type(self.model).__name__, "steps", self.step_id, self.reduce, *self.read_as]

    def steps_at(self, ids: Ids) -> list[int]:
        """Indices of the tags."""
        return [i for i, token in enumerate(ids) if token == self.step_id]

    def read_at(self, ids: Ids) -> int:
        return self.steps_at(ids)[-1]

    def logits(
        self, model: PreTrainedModel, rows: Sequence[Row], groups: Sequence[Hashable] | None = None
    ) -> torch.Tensor:
        tagged = [i for i, (ids, _) in enumerate(rows) if self.step_id in ids]
        if len(tagged) < len(rows):  # a response whose end merges with its tag into one token has no step
            values = torch.full((len(rows),), torch.nan, device=model.device)
            if tagged:
                values[tagged] = self.logits(model, [rows[i] for i in tagged]).to(values)
            return values
        if self.reduce == "last":
            return super().logits(model, rows, groups)
        whole: Any = model
        ids, mask, positions = padded(
            [ids for ids, _ in rows], pad=self.pad_id, left=self.left_padding, device=model.device
        )
        where = {"position_ids": positions} if accepts(whole.base_model, "position_ids") else {}
        out = whole.base_model(input_ids=ids, attention_mask=mask, use_cache=False, **where)
        scores = whole.score(out.last_hidden_state)[..., 0]  # (n_rows, longest)
        return reduced(scores, (ids == self.step_id) & mask.bool(), self.reduce)


def reduced(scores: torch.Tensor, is_step: torch.Tensor, how: Reduce) -> torch.Tensor:
    """One score of those at each row's steps: (n_rows, n_tokens) → (n_rows,), NaN where it has none."""
    if how == "last":
        ahead = is_step.flip(1).int().argmax(1, keepdim=True)
        found = scores.flip(1).gather(1, ahead)[:, 0]
    elif how == "min":
        found = scores.masked_fill(~is_step, torch.inf).amin(1)
    else:
        found = torch.nn.functional.logsigmoid(scores).masked_fill(~is_step, 0.0).sum(1)
    return found.masked_fill(~is_step.any(1), torch.nan)
