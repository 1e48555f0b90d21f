"""Generative judges: a causal LM is asked for a number, which is the reward.

Read as an expectation over the numbers' next-token probabilities (G-Eval, Liu et al. 2023, arXiv:2303.16634) it is
continuous and has gradients. G-Eval estimates the probabilities from samples; here they are the model's own, over the
numbers alone. Read from what the judge writes, greedily, it has neither; what holds no number is no reward but NaN.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.rewards.compute.prefix_cache import padded
from miner.rewards.text.pipeline import Row

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(kw_only=True, eq=False)
class WritingJudge(TransformerRewardModel):
    """The number that the judge writes, greedily, between ``low`` and ``high``; NaN where it writes none."""

    low: float
    high: float
    number: str
    max_new_tokens: int
    is_trainable = False
    can_truncate = False

    @property
    def has_gradients(self) -> bool:
        return False

    def head_identity(self) -> list[object]:
        return [type(self.model).__name__, "written", self.low, self.high, self.number, self.max_new_tokens]

    def flops(self, n_tokens: int) -> float:
        """With the tokens that it writes, where it writes them all."""
        return super().flops(n_tokens + self.max_new_tokens)

    def logits(
        self, model: PreTrainedModel, rows: Sequence[Row], groups: Sequence[Hashable] | None = None
    ) -> torch.Tensor:
        del groups
        return torch.tensor([self.read(text) for text in self.written(model, rows)])

    def written(self, model: PreTrainedModel, rows: Sequence[Row]) -> list[str]:
        """What the judge writes behind each row."""
        out, _ = self._generated(model, rows, self.max_new_tokens, with_logits=False)
        return list(self.pipeline.tokenizer.batch_decode(out, skip_special_tokens=True))

    def first_logits(self, model: PreTrainedModel, rows: Sequence[Row]) -> torch.Tensor:
        """What the first token that the judge writes is chosen by: (n_rows, vocabulary)."""
        _, logits = self._generated(model, rows, 1, with_logits=True)
        return logits[0]

    def _generated(
        self, model: PreTrainedModel, rows: Sequence[Row], n: int, *, with_logits: bool
    ) -> tuple[torch.Tensor, Sequence[torch.Tensor]]:
        """Up to ``n`` tokens behind each row; of each token the logits, where they are asked for."""
        from transformers import GenerationConfig

        whole: Any = model
        ids, mask, _ = padded([ids for ids, _ in rows], pad=self.pad_id, left=True, device=model.device)
        ends = whole.generation_config.eos_token_id
        plan = GenerationConfig(
            max_new_tokens=n, do_sample=False, pad_token_id=self.pad_id, eos_token_id=ends,
            return_dict_in_generate=True, output_logits=with_logits,
        )  # fmt: skip
        out = whole.generate(input_ids=ids, attention_mask=mask, generation_config=plan)
        return out.sequences[:, ids.shape[1] :], out.logits or ()

    def read(self, text: str) -> float:
        """The number in a judgement: NaN where there is none, two that differ, or one that is off the scale."""
        found = {match[1] for match in re.finditer(self.number, text)}
        try:
            (value,) = map(float, found)
        except (ValueError, TypeError):  # none or several; a group that is no number
            return float("nan")
        return value if self.low <= value <= self.high else float("nan")
