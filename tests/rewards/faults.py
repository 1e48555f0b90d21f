"""Faults that real adapters have shipped with, to be put into ours: each must be reported by ``violations``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import torch

from miner.rewards.adapters.causal import CausalRewardModel
from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.rewards.base import Pair
from miner.rewards.text.pipeline import ChatPipeline, Text

Fault = AbstractContextManager[TransformerRewardModel]


class BosDoubling(ChatPipeline):
    """Lets the tokenizer add its special tokens to text that the template already gave them."""

    def _inputs(self, pairs: Sequence[Pair]) -> tuple[Sequence[Text], bool]:
        return super()._inputs(pairs)[0], True


class OneTokenEarly(CausalRewardModel):
    """Reads the reward one token before the last."""

    def read_at(self, ids: tuple[int, ...]) -> int:
        return super().read_at(ids) - 1


class BeforeFirstPadding(CausalRewardModel):
    """Reads before the first padding token of the config, as old pooling did: inside the prompt where EOS pads."""

    def read_at(self, ids: tuple[int, ...]) -> int:
        pad = self._config_pad()
        return ids.index(pad, 1) - 1 if pad in ids[1:] else len(ids) - 1


@contextmanager
def doubled_bos(rm: TransformerRewardModel) -> Iterator[TransformerRewardModel]:
    plain = rm.pipeline
    pipeline = BosDoubling(tokenizer=plain.tokenizer, max_length=plain.max_length, truncation=plain.truncation)
    yield replace(rm, pipeline=pipeline)


@contextmanager
def as_class(rm: TransformerRewardModel, kind: type[CausalRewardModel]) -> Iterator[TransformerRewardModel]:
    yield kind(
        name=rm.name,
        fingerprint=rm.fingerprint,
        model=rm.model,
        ranking_model=rm.ranking_model,
        pipeline=rm.pipeline,
        vocabulary=rm.vocabulary,
        budget=rm.budget,
    )


@contextmanager
def pooled_one_column_off(rm: TransformerRewardModel) -> Iterator[TransformerRewardModel]:
    """An encoder's head is shown the second column in place of the first."""
    model: Any = rm.model
    heads = (getattr(model.base_model, "pooler", None), getattr(model, "pooler", None))
    head = next((one for one in (*heads, getattr(model.base_model, "final_norm", None)) if one), model.classifier)

    def rolled(_module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return inputs[0].roll(-1, dims=1), *inputs[1:]

    hook = head.register_forward_pre_hook(rolled)
    try:
        yield rm
    finally:
        hook.remove()


@contextmanager
def _changed_inputs(
    rm: TransformerRewardModel, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> Iterator[TransformerRewardModel]:
    def changed(_module: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, change(dict(kwargs))

    hook = rm.model.base_model.register_forward_pre_hook(changed, with_kwargs=True)
    try:
        yield rm
    finally:
        hook.remove()


def stretched_positions(rm: TransformerRewardModel) -> Fault:
    """Position ids count in twos: relative distances are wrong, too."""

    def change(kwargs: dict[str, Any]) -> dict[str, Any]:
        given = kwargs.get("position_ids")
        columns = torch.arange(kwargs["attention_mask"].shape[1])[None]
        return {**kwargs, "position_ids": 2 * (columns if given is None else given)}

    return _changed_inputs(rm, change)


def restarted_positions(rm: TransformerRewardModel) -> Fault:
    """Behind a cached head position ids start from 0 again."""

    def change(kwargs: dict[str, Any]) -> dict[str, Any]:
        positions = kwargs["position_ids"]
        return {**kwargs, "position_ids": positions - positions[:, :1]}

    return _changed_inputs(rm, change)


def column_positions(rm: TransformerRewardModel) -> Fault:
    """Position ids are the columns of the padded batch, padding on the left counted in."""

    def change(kwargs: dict[str, Any]) -> dict[str, Any]:
        columns = torch.arange(kwargs["attention_mask"].shape[1])[-kwargs["input_ids"].shape[1] :]
        return {**kwargs, "position_ids": columns[None]}

    return _changed_inputs(rm, change)


def ignored_mask(rm: TransformerRewardModel) -> Fault:
    """Padding is attended to."""
    return _changed_inputs(rm, lambda kwargs: {**kwargs, "attention_mask": torch.ones_like(kwargs["attention_mask"])})


def one_token_early(rm: TransformerRewardModel) -> Fault:
    return as_class(rm, OneTokenEarly)


def before_first_padding(rm: TransformerRewardModel) -> Fault:
    return as_class(rm, BeforeFirstPadding)
