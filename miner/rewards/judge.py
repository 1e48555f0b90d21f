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

from attacks.queries import Share, SwapTable
from miner.errors import ModelError
from miner.rewards.answers import Expectation, NextTokenRewardModel, answer_tokens, lm_head, open_ended, read_next_token
from miner.rewards.assembling import Parts, assemble, auto_class
from miner.rewards.base import Pair, RelaxRequest, SwapRequest
from miner.rewards.pipeline import Row
from miner.rewards.prefix_cache import padded
from miner.rewards.template_pipeline import QuestionPipeline
from miner.rewards.transformer import TransformerRewardModel
from miner.rm_tables import JudgeSection, RewardModelSection

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

    def _logits(
        self, model: PreTrainedModel, rows: Sequence[Row], groups: Sequence[Hashable] | None = None
    ) -> torch.Tensor:
        del groups
        return torch.tensor([self.read(text) for text in self.written(model, rows)])

    def written(self, model: PreTrainedModel, rows: Sequence[Row]) -> list[str]:
        """What the judge writes behind each row."""
        from transformers import GenerationConfig

        whole: Any = model
        ids, mask, _ = padded([ids for ids, _ in rows], pad=self.pad_id, left=True, device=model.device)
        ends = whole.generation_config.eos_token_id
        plan = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=self.max_new_tokens, do_sample=False, pad_token_id=self.pad_id, eos_token_id=ends
        )
        out = whole.generate(input_ids=ids, attention_mask=mask, generation_config=plan)
        return list(self.pipeline.tokenizer.batch_decode(out[:, ids.shape[1] :], skip_special_tokens=True))

    def read(self, text: str) -> float:
        """The number in a judgement: NaN where there is none, two that differ, or one that is off the scale."""
        found = {match[1] for match in re.finditer(self.number, text)}
        try:
            (value,) = map(float, found)
        except (ValueError, TypeError):  # none or several; a group that is no number
            return float("nan")
        return value if self.low <= value <= self.high else float("nan")

    def swaps(self, requests: Sequence[SwapRequest]) -> list[SwapTable]:
        del requests
        raise self._no_gradients()

    def attributions(self, pair: Pair, steps: int) -> tuple[Share, ...]:
        del pair, steps
        raise self._no_gradients()

    def relax(self, requests: Sequence[RelaxRequest]) -> list[tuple[str, ...]]:
        del requests
        raise self._no_gradients()


def load_judge(section: RewardModelSection, source: str) -> TransformerRewardModel:
    """The judge of ``section``.

    Raises:
        ModelError: see ``assemble``; a number of the scale that is not one token, no chat template.
    """
    asked = section.judge
    assert asked is not None
    return assemble(
        section, source, lambda config: auto_class(config, ["AutoModelForCausalLM"]), lambda parts: _judge(parts, asked)
    )


def _judge(parts: Parts, asked: JudgeSection) -> TransformerRewardModel:
    if asked.chat and not parts.tokenizer.chat_template:
        raise ModelError(f"{parts.folder} has no chat template; set rm.judge.chat = false")
    pipeline = QuestionPipeline(
        tokenizer=parts.tokenizer,
        max_length=parts.max_length,
        adds_special=not asked.chat,
        template=asked.template,
        chat=asked.chat,
    )
    probe, behind = open_ended(pipeline)
    if asked.readout == "text":
        return WritingJudge(
            **parts.fields(),
            pipeline=pipeline,
            low=asked.low,
            high=asked.high,
            number=asked.number,
            max_new_tokens=asked.max_new_tokens,
        )
    values = range(asked.low, asked.high + 1)
    numbers = [f"{' ' if asked.space else ''}{value}" for value in values]
    try:
        tokens = answer_tokens(parts.tokenizer, behind, numbers, "numbers from rm.judge.low to rm.judge.high")
    except ModelError as error:
        raise ModelError(f"{error}: a scale up to 9, rm.judge.space, or readout = 'text'") from error
    for model in parts.models:
        head = Expectation(*lm_head(model), tokens, values=[float(value) for value in values])
        read_next_token(model, probe, head, tokens)
    return NextTokenRewardModel(**parts.fields(), pipeline=pipeline, read_as=("expectation", *values, *tokens))
