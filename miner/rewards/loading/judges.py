"""Generative judges from their folder and the ``[rm.judge]`` table."""

from __future__ import annotations

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
from miner.rewards.loading.assembling import Parts, assemble, auto_class
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
