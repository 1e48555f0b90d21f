"""Loads pairwise RMs: LMs that name the better answer, classifiers over both answers, PairRM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from corpus.records import Conversation
from miner.config.reward_model import PairwiseSection, RewardModelSection
from miner.errors import ModelError
from miner.rewards.adapters.answers import (
    AnswerHead,
    LogOddsHead,
    NextTokenRewardModel,
    answer_tokens,
    lm_head,
    log_odds,
    open_ended,
    read_next_token,
    require_close,
)
from miner.rewards.adapters.comparers import (
    AnsweringSeq2Seq,
    LabelledDecoder,
    LabelledEncoder,
    embed_once,
    first_written,
)
from miner.rewards.adapters.pairwise import PairwiseRewardModel
from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.rewards.loading.alike import plain_rewards, require_alike
from miner.rewards.loading.assembling import Parts, assemble, auto_class
from miner.rewards.loading.covered import DECODERS, ENCODER_DECODERS, ENCODERS
from miner.rewards.text.template_pipeline import PROBE, ComparisonPipeline

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


def load_pairwise(
    section: RewardModelSection, source: str, references: Mapping[Conversation, str]
) -> PairwiseRewardModel:
    """The pairwise RM of ``section``, against ``references``.

    Raises:
        ModelError: see ``assemble``; an answer that is not one token, neither one logit nor two labels, no PairRM.
    """
    asked = section.pairwise
    assert asked is not None
    autos, build = {
        "answer": (("AutoModelForCausalLM", "AutoModelForSeq2SeqLM"), _answering),
        "labels": (("AutoModelForSequenceClassification",), _labelled),
        "pairrm": ((), _ranking),
    }[asked.layout]

    def auto_of(config: PreTrainedConfig) -> Any:
        if asked.layout == "pairrm":
            from miner.rewards.adapters.pairrm import PairRanker

            return PairRanker
        if asked.layout == "labels" and config.num_labels not in (1, 2):
            raise ModelError(
                f"{source} has {config.num_labels} labels; a pairwise classifier has one logit or two labels"
            )
        return auto_class(config, autos)

    comparer = assemble(section, source, auto_of, lambda parts: build(parts, asked))
    return PairwiseRewardModel(comparer=comparer, references=references)


def _pipeline(parts: Parts, asked: PairwiseSection) -> ComparisonPipeline:
    if asked.chat and not parts.tokenizer.chat_template:
        raise ModelError(f"{parts.folder} has no chat template; set rm.pairwise.chat = false")
    return ComparisonPipeline(
        tokenizer=parts.tokenizer,
        today=parts.section.today,
        max_length=parts.max_length,
        adds_special=not asked.chat,
        template=str(asked.template),
        chat=asked.chat,
    )


def _answering(parts: Parts, asked: PairwiseSection) -> TransformerRewardModel:
    pipeline = _pipeline(parts, asked)
    if parts.model.config.is_encoder_decoder:
        return _answering_seq2seq(parts, asked, pipeline)
    probe, behind = open_ended(pipeline)
    tokens = answer_tokens(parts.tokenizer, behind, asked.answers, "rm.pairwise.answers")
    plain = plain_rewards(
        parts.model, pipeline, lambda output, _: log_odds(output.logits[0, -1], tokens), covered=DECODERS
    )
    for model in parts.models:
        read_next_token(model, probe, LogOddsHead(*lm_head(model), tokens), tokens)
    rm = NextTokenRewardModel(**parts.fields(), pipeline=pipeline, read_as=("contrast", *tokens))
    require_alike(rm, plain)
    return rm


def _answering_seq2seq(parts: Parts, asked: PairwiseSection, pipeline: ComparisonPipeline) -> TransformerRewardModel:
    tokens = answer_tokens(parts.tokenizer, "", asked.answers, "rm.pairwise.answers")
    probe = pipeline.ids([PROBE])[0][0]
    starts = {"decoder_input_ids": torch.tensor([[parts.model.config.decoder_start_token_id]])}
    plain = plain_rewards(
        parts.model,
        pipeline,
        lambda output, _: log_odds(output.logits[0, -1], tokens),
        covered=ENCODER_DECODERS,
        also=starts,
    )
    heads: dict[Any, AnswerHead] = {}
    for model in parts.models:
        heads[model] = LogOddsHead(*lm_head(model), tokens)
        embed_once(model)
        ids = torch.tensor([probe], device=model.device)
        start = torch.tensor([[model.config.decoder_start_token_id]], device=model.device)
        whole: Any = model
        with torch.inference_mode():
            own = whole(input_ids=ids, decoder_input_ids=start).logits[0, -1, tokens].float()
            ours = heads[model].logits(first_written(model, ids, torch.ones_like(ids))[0])
        require_close(own, ours, model)
    rm = AnsweringSeq2Seq(**parts.fields(), pipeline=pipeline, heads=heads, read_as=("contrast", *tokens))
    require_alike(rm, plain)
    return rm


def _labelled(parts: Parts, asked: PairwiseSection) -> TransformerRewardModel:
    pipeline = _pipeline(parts, asked)
    first, both = asked.first_label, (asked.first_label, 1 - asked.first_label)
    is_causal, is_one = hasattr(parts.model, "score"), parts.model.config.num_labels == 1
    plain = plain_rewards(
        parts.model,
        pipeline,
        lambda output, _: output.logits[0, 0] if is_one else log_odds(output.logits[0], both),
        covered=DECODERS if is_causal else ENCODERS,
        with_types=not is_causal,
    )
    if is_causal and not is_one:
        for model in parts.models:
            whole: Any = model
            whole.score = LogOddsHead(whole.score, None, both)
    adapter = LabelledDecoder if is_causal else LabelledEncoder
    rm = adapter(**parts.fields(), pipeline=pipeline, first_label=first)
    require_alike(rm, plain)
    return rm


def _ranking(parts: Parts, asked: PairwiseSection) -> TransformerRewardModel:
    if asked.chat:
        raise ModelError("layout 'pairrm' is no chat; leave rm.pairwise.chat at false")
    from miner.rewards.adapters.pairrm import PAIRRM_TOKENS, PairRankerRewardModel, pairrm_template

    if parts.ranking_model is not parts.model:
        whole: Any = parts.ranking_model
        whole.head_layer.float()
    template = pairrm_template(parts.tokenizer, parts.model.config)
    pipeline = ComparisonPipeline(
        tokenizer=parts.tokenizer,
        today=parts.section.today,
        max_length=parts.section.max_length or PAIRRM_TOKENS,  # its positions are relative, whatever the config says
        adds_special=False,
        template=template,
        chat=False,
    )
    return PairRankerRewardModel(**parts.fields(), pipeline=pipeline)
