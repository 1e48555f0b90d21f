"""Process RMs from their folder and the ``[rm.process]`` table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from miner.config.reward_model import ProcessSection, RewardModelSection
from miner.errors import ModelError
from miner.rewards.adapters.answers import AnswerHead, LogOddsHead, answer_tokens, lm_head, log_odds, read_next_token
from miner.rewards.adapters.process import ProcessRewardModel, reduced
from miner.rewards.base import Pair
from miner.rewards.compute.prefix_cache import Ids
from miner.rewards.loading.alike import TEXTS, plain_rewards, require_alike
from miner.rewards.loading.assembling import Parts, assemble, auto_class
from miner.rewards.loading.covered import DECODERS
from miner.rewards.text.template_pipeline import PROBE, StepsPipeline

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


CAUSAL = "AutoModelForCausalLM"
AUTOS = (CAUSAL, "AutoModelForTokenClassification", "AutoModel")


def load_process(section: RewardModelSection, source: str) -> ProcessRewardModel:
    """The process RM of ``section``.

    Raises:
        ModelError: see ``assemble``; answers or a step tag that are not one token, other than two labels.
    """
    asked = section.process
    assert asked is not None

    def auto_of(config: PreTrainedConfig) -> Any:
        auto = auto_class(config, AUTOS)
        if auto.__name__ != CAUSAL and config.num_labels != 2:
            raise ModelError(f"{source} has {config.num_labels} labels; a process RM has two, for good steps and bad")
        return auto

    rm = assemble(section, source, auto_of, lambda parts: _process(parts, asked))
    assert isinstance(rm, ProcessRewardModel)
    return rm


def _process(parts: Parts, asked: ProcessSection) -> ProcessRewardModel:
    if asked.template is None and not parts.tokenizer.chat_template:
        raise ModelError(
            f"{parts.folder} has no chat template; give rm.process.template, with {{prompt}} and {{response}}"
        )
    pipeline = StepsPipeline(
        tokenizer=parts.tokenizer,
        today=parts.section.today,
        max_length=parts.max_length,
        adds_special=asked.template is not None,
        template=asked.template,
        split=asked.split,
        tag=asked.tag,
    )
    step_id = _step_token(pipeline, asked)
    is_labelled = getattr(parts.model, "score", None) is not None
    answers = (
        [asked.good_label, 1 - asked.good_label]
        if is_labelled
        else answer_tokens(parts.tokenizer, asked.tag.rstrip(), asked.answers, "rm.process.answers")
    )

    def reward(output: Any, ids: Ids) -> torch.Tensor | None:
        scores = log_odds(output.logits[0], answers)
        if step_id not in ids:  # the text melts into its tag
            return None
        return reduced(scores[None], torch.tensor([ids], device=scores.device) == step_id, asked.reduce)[0]

    in_steps = [Pair(pair.prompt, pair.response.replace(", ", asked.split)) for pair in TEXTS]
    plain = plain_rewards(parts.model, pipeline, reward, covered=DECODERS, texts=in_steps)
    ids = pipeline.ids([PROBE])[0][0]
    for model in parts.models:
        if is_labelled:
            _score_by(model, answers)
        else:
            read_next_token(model, ids, LogOddsHead(*lm_head(model), answers), answers)
    read_as = ("labels" if is_labelled else "contrast", *answers)
    rm = ProcessRewardModel(**parts.fields(), pipeline=pipeline, step_id=step_id, reduce=asked.reduce, read_as=read_as)
    require_alike(rm, plain)
    return rm


def _score_by(model: PreTrainedModel, labels: Sequence[int]) -> None:
    whole: Any = model
    head: AnswerHead = LogOddsHead(whole.score, None, labels)
    whole.score = head


def _step_token(pipeline: StepsPipeline, asked: ProcessSection) -> int:
    """The token at which a step's score is read.

    Raises:
        ModelError: the tag is no token of its own or several, and none of them is the one named.
    """
    text = pipeline.render(PROBE)
    encoding = pipeline.backend.encode(text, add_special_tokens=pipeline.adds_special)
    at = text.index(PROBE.response) + len(PROBE.response)
    inside = {
        text[start:end].strip(): token
        for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
        if at <= start < end <= at + len(asked.tag)
    }
    wanted = asked.step_token.strip() if asked.step_token else None
    if wanted is None and len(inside) == 1:
        return int(*inside.values())
    if wanted in inside:
        return int(inside[wanted])
    got = ", ".join(map(repr, inside)) or "none of its own"
    expected = f"{wanted!r} among them" if wanted else "one"
    raise ModelError(
        f"rm.process.tag {asked.tag!r} has as tokens {got}; expected {expected}. "
        "Give another tag, or name its token in rm.process.step_token"
    )
