"""Decoders with a score head, read at the last token that is not padding by the model's own config."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from corpus.records import Conversation
from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.rewards.base import Pair
from miner.rewards.compute.forward import Forward
from miner.rewards.compute.prefix_cache import (
    WORTHWHILE,
    Ids,
    can_share,
    common_prefix,
    head_lengths,
    last_hidden,
    last_hidden_shared,
    shared_lengths,
    sharing_order,
)
from miner.rewards.text.pipeline import FRAMES_KEPT, Row

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


READING = 0.2  # of computing a token: what attending to a shared one takes (measured on 64 and 256 shared tokens)


@dataclass(kw_only=True, eq=False)
class CausalRewardModel(TransformerRewardModel):
    """Only the token that the reward is read at goes through the head; rows of one prompt share their heads' cache.

    ``left_padding`` changes no reward, nor does ``share_prefixes``; sharing pads heads left and tails right.
    """

    left_padding: bool = False
    share_prefixes: bool = True
    is_causal: ClassVar[bool] = True
    reads_its_models_output: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._shares = self.share_prefixes and can_share(self.model)
        self._heads: dict[Conversation, int] = {}

    def head_identity(self) -> list[object]:
        kind = type(self.model).__name__
        if self.readout.read_at is not None:
            return [kind, *self.readout.identity()]
        return [kind, "last token but padding", self._config_pad(), *self.readout.identity()]

    def flops(self, n_tokens: int) -> float:
        """Attention looks at what came before: half of an encoder's quadratic part."""
        linear = self.flops_per_token * n_tokens
        return linear + (super().flops(n_tokens) - linear) / 2

    def flops_together(self, pairs: Sequence[Pair]) -> float:
        if not self._shares:
            return super().flops_together(pairs)
        of_prompt: dict[Conversation, list[int]] = {}
        for pair, length in zip(pairs, self.lengths(pairs), strict=True):
            of_prompt.setdefault(pair.prompt, []).append(length)
        return sum(self._of_one_prompt(prompt, lengths) for prompt, lengths in of_prompt.items())

    def _of_one_prompt(self, prompt: Conversation, lengths: Sequence[int]) -> float:
        """What each text adds behind the beginning that all share, and the beginning once, where sharing pays."""
        head = min(self._head_tokens(prompt), min(lengths) - 1)
        if head + sum(length - head for length in lengths) >= WORTHWHILE * sum(lengths):
            return sum(map(self.flops, lengths))
        return self.flops(head) + sum(self.flops(length) - self.flops(head) for length in lengths)

    def _head_tokens(self, prompt: Conversation) -> int:
        """Tokens that every text of the prompt begins with."""
        if prompt not in self._heads:
            if len(self._heads) >= FRAMES_KEPT:
                self._heads.clear()
            (one, _), (other, _) = self.pipeline.ids([Pair(prompt, "A"), Pair(prompt, "one")])
            self._heads[prompt] = common_prefix([one, other], min(len(one), len(other)))
        return self._heads[prompt]

    def _config_pad(self) -> int | None:
        pad: int | None = self.model.config.get_text_config().pad_token_id
        return pad

    def logits(
        self, model: PreTrainedModel, rows: Sequence[Row], groups: Sequence[Hashable] | None = None
    ) -> torch.Tensor:
        ids = [ids for ids, _ in rows]
        pooled = [self.read_at(row) for row in ids]
        needed = [row[: at + 1] for row, at in zip(ids, pooled, strict=True)]  # what follows cannot reach back
        heads = head_lengths(needed, groups) if groups is not None and self._shares else []
        if groups is not None and any(heads):
            hidden = last_hidden_shared(model, needed, heads, groups, pad=self.pad_id)
        else:
            hidden = last_hidden(model, ids, pooled, left=self.left_padding, pad=self.pad_id)
        return self.readout.scores(model, hidden)

    def logits_for_training(self, model: PreTrainedModel, rows: Sequence[Row]) -> torch.Tensor:
        whole: Any = model
        return self.logits(whole.get_base_model() if hasattr(whole, "get_base_model") else whole, rows)  # out of peft

    def read_at(self, ids: Ids) -> int:
        """Index of the token at which transformers itself reads the reward, or the readout says to."""
        if self.readout.read_at is not None:
            return self.readout.read_at.position(ids)
        pad = self._config_pad()
        return next((i for i in range(len(ids) - 1, -1, -1) if ids[i] != pad), len(ids) - 1 if pad is None else 0)

    def order(self, rows: Sequence[Row], groups: Sequence[Hashable]) -> list[int] | None:
        return sharing_order([ids for ids, _ in rows], groups) if self._shares else None

    def burdens(self, rows: Sequence[Row], groups: Sequence[Hashable]) -> list[int]:
        """A row's own tokens, and a part of those that its group shares: they are computed once, but read by every
        row."""
        ids = [ids for ids, _ in rows]
        if not self._shares:
            return list(map(len, ids))
        shared = shared_lengths(ids, groups)
        heads = [shared.get(group, 0) for group in groups]
        return [len(row) - int((1 - READING) * head) for row, head in zip(ids, heads, strict=True)]

    def other_ways(self) -> dict[str, Forward]:
        plain = replace(self, share_prefixes=False)
        return {"without cache": plain, "padded left": replace(plain, left_padding=True)}

    def first_column(self, width: int, length: int) -> int:
        return width - length if self.left_padding else 0
