"""Generative judges from their folder and the ``[rm.judge]`` table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from miner.config.reward_model import JudgeSection, RewardModelSection
from miner.errors import ModelError
from miner.rewards.adapters.answers import (
    Expectation,
    NextTokenRewardModel,
    answer_tokens,
    lm_head,
    open_ended,
    read_next_token,
)
from miner.rewards.adapters.judge import WritingJudge
from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.rewards.base import Pair
from miner.rewards.compute.prefix_cache import Ids
from miner.rewards.loading.alike import plain_rewards, require_alike
from miner.rewards.loading.assembling import Parts, assemble, auto_class
from miner.rewards.loading.covered import DECODERS
from miner.rewards.text.template_pipeline import QuestionPipeline


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
        today=parts.section.today,
        max_length=parts.max_length,
        adds_special=not asked.chat,
        template=asked.template,
        chat=asked.chat,
    )
    probe, behind = open_ended(pipeline)
    if asked.readout == "text":
        return _writing(parts, asked, pipeline)
    values = range(asked.low, asked.high + 1)
    numbers = [f"{' ' if asked.space else ''}{value}" for value in values]
    try:
        tokens = answer_tokens(parts.tokenizer, behind, numbers, "numbers from rm.judge.low to rm.judge.high")
    except ModelError as error:
        raise ModelError(f"{error}: a scale up to 9, rm.judge.space, or readout = 'text'") from error
    scale = [float(value) for value in values]

    def mean(output: Any, _ids: Ids) -> torch.Tensor:
        logits: torch.Tensor = output.logits[0, -1, tokens].float()
        return torch.softmax(logits, 0) @ logits.new_tensor(scale)

    plain = plain_rewards(parts.model, pipeline, mean, covered=DECODERS)
    for model in parts.models:
        read_next_token(model, probe, Expectation(*lm_head(model), tokens, values=scale), tokens)
    rm = NextTokenRewardModel(**parts.fields(), pipeline=pipeline, read_as=("expectation", *values, *tokens))
    require_alike(rm, plain)
    return rm


def _writing(parts: Parts, asked: JudgeSection, pipeline: QuestionPipeline) -> WritingJudge:
    rm = WritingJudge(
        **parts.fields(),
        pipeline=pipeline,
        low=asked.low,
        high=asked.high,
        number=asked.number,
        max_new_tokens=asked.max_new_tokens,
    )
    plain = plain_rewards(parts.model, pipeline, lambda output, _: output.logits[0, -1], covered=DECODERS)

    def chosen_by(pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        logits: npt.NDArray[np.float64] = rm.first_logits(rm.model, pipeline.ids(pairs)).double().cpu().numpy()
        return logits

    require_alike(
        rm,
        plain,
        {
            "alone": lambda pairs: np.concatenate([chosen_by([pair]) for pair in pairs]),
            "padded left": chosen_by,
        },
    )
    return rm
