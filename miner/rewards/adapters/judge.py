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
        out, n_given = self._generated(model, rows, max_new_tokens=self.max_new_tokens)
        return list(self.pipeline.tokenizer.batch_decode(out.sequences[:, n_given:], skip_special_tokens=True))

    def first_logits(self, model: PreTrainedModel, rows: Sequence[Row]) -> torch.Tensor:
        """What the first token that the judge writes is chosen by: (n_rows, vocabulary)."""
        out, _ = self._generated(model, rows, max_new_tokens=1, output_logits=True)
        first: torch.Tensor = out.logits[0]
        return first

    def _generated(self, model: PreTrainedModel, rows: Sequence[Row], **plan: int) -> tuple[Any, int]:
        """What the model's ``generate`` returns, greedily, and how many ids it was given of each row."""
        from transformers import GenerationConfig

        whole: Any = model
        ids, mask, _ = padded([ids for ids, _ in rows], pad=self.pad_id, left=True, device=model.device)
        ends = whole.generation_config.eos_token_id
        greedily = GenerationConfig(
            do_sample=False, pad_token_id=self.pad_id, eos_token_id=ends, return_dict_in_generate=True, **plan
        )
        return whole.generate(input_ids=ids, attention_mask=mask, generation_config=greedily), ids.shape[1]

    def read(self, text: str) -> float:
        """The number in a judgement: NaN where there is none, two that differ, or one that is off the scale."""
        found = {match[1] for match in re.finditer(self.number, text)}
        try:
            (value,) = map(float, found)
        except (ValueError, TypeError):  # none or several; a group that is no number
            return float("nan")
        return value if self.low <= value <= self.high else float("nan")
