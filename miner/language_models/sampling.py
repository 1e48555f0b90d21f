"""Samples from a policy that is being trained: one prefill per prompt, and rows that have ended leave the batch.

``generate`` reads a prompt once per sample and carries ended rows to the end; on short answers of a small policy both,
and its own bookkeeping, cost more than the model (``scripts/bench_policy`` has the numbers).
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from miner.errors import ModelError
from miner.language_models.reading import Barred

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SHRINK_AT = 0.75  # of the rows still writing: below it, the others' cache is dropped


class BrokenPolicyError(ModelError):
    """A policy whose weights an update has broken: nothing can be sampled from it."""


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How answers are drawn: plain sampling at ``temperature``, up to ``max_new_tokens``, ended by ``end_tokens``,
    which are not drawn before ``min_new_tokens``."""

    max_new_tokens: int
    end_tokens: tuple[int, ...]
    pad_token: int
    temperature: float = 1.0
    min_new_tokens: int = 0

    @property
    def barred(self) -> Barred:
        """What is not drawn at an answer's beginning."""
        return Barred(self.end_tokens, self.min_new_tokens)


def sample_ids(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    decoding: Decoding,
    *,
    per_prompt: int = 1,
    generator: torch.Generator | None = None,
) -> list[list[int]]:
    """``per_prompt`` continuations of each prompt, those of one prompt together; an end token, once drawn, is the last.

    Without a ``generator`` the global one decides, as in ``generate``.
    """
    with torch.no_grad():
        rows = _Rows.read(model, prompts, decoding, per_prompt)
        for at in range(decoding.max_new_tokens):
            rows.write(at, generator)
            if rows.n_going == 0 or at + 1 == decoding.max_new_tokens:
                break
            rows.step()
    return rows.answers()


@dataclass(kw_only=True)
class _Rows:
    """The answers being written, as one batch; rows that have ended leave it."""

    model: Any
    decoding: Decoding
    ends: torch.Tensor
    written: torch.Tensor  # (n_rows, max_new_tokens), of all rows, those that have left included
    lengths: torch.Tensor  # (n_rows,)
    alive: torch.Tensor  # which row of ``written`` each row of the batch writes; as what follows, (n_batch, …)
    ended: torch.Tensor
    token: torch.Tensor
    mask: torch.Tensor
    position: torch.Tensor
    logits: torch.Tensor
    cache: Any
    cache_name: str

    @classmethod
    def read(
        cls, model: PreTrainedModel, prompts: Sequence[Sequence[int]], decoding: Decoding, per_prompt: int
    ) -> _Rows:
        """The prompts read once each, ``per_prompt`` rows behind each."""
        device, longest = model.device, max(map(len, prompts))
        ids = torch.full((len(prompts), longest), decoding.pad_token, device=device)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):  # left padding: every prompt ends where its answer begins
            ids[row, longest - len(prompt) :] = torch.tensor(list(prompt), device=device)
            mask[row, longest - len(prompt) :] = 1
        run: Any = model
        name, n_rows = cache_argument(model), len(prompts) * per_prompt
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        output = run(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1)
        cache, position, logits = output[name], positions[:, -1:], output.logits[:, -1]
        if per_prompt > 1:
            cache.batch_repeat_interleave(per_prompt)
            mask, position, logits = (x.repeat_interleave(per_prompt, 0) for x in (mask, position, logits))
        return cls(
            model=run,
            decoding=decoding,
            ends=torch.tensor(decoding.end_tokens, device=device),
            written=torch.full((n_rows, decoding.max_new_tokens), decoding.pad_token, device=device),
            lengths=torch.full((n_rows,), decoding.max_new_tokens),
            alive=torch.arange(n_rows, device=device),
            ended=torch.zeros(n_rows, dtype=torch.bool, device=device),
            token=torch.zeros(n_rows, dtype=torch.long, device=device),
            mask=mask,
            position=position,
            logits=logits,
            cache=cache,
            cache_name=name,
        )

    @property
    def n_going(self) -> int:
        return int((~self.ended).sum())

    def write(self, at: int, generator: torch.Generator | None) -> None:
        """Draw a token for every row of the batch; an end token ends its row."""
        logits = self.logits
        if at < self.decoding.min_new_tokens:
            logits = logits.index_fill(1, self.ends, float("-inf"))
        odds = (logits.float() / self.decoding.temperature).softmax(-1)
        if not bool(odds.isfinite().all()):
            raise BrokenPolicyError("the policy's next-token probabilities are not finite: its weights broke")
        self.token = torch.multinomial(odds, 1, generator=generator)[:, 0]
        self.written[self.alive[~self.ended], at] = self.token[~self.ended]
        now = ~self.ended & torch.isin(self.token, self.ends)
        self.lengths[self.alive[now].cpu()] = at + 1
        self.ended = self.ended | now

    def step(self) -> None:
        """Read the tokens drawn; where many rows have ended, only those that go on stay in the batch."""
        if self.n_going < SHRINK_AT * len(self.alive):
            self.select(torch.nonzero(~self.ended)[:, 0])
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.mask), 1)], 1)
        self.position = self.position + 1
        output = self.model(
            input_ids=self.token[:, None],
            attention_mask=self.mask,
            position_ids=self.position,
            use_cache=True,
            **{self.cache_name: self.cache},
        )
        self.cache, self.logits = output[self.cache_name], output.logits[:, -1]

    def select(self, keep: torch.Tensor) -> None:
        self.cache.batch_select_indices(keep)
        for name in ("alive", "mask", "position", "token", "ended"):
            setattr(self, name, getattr(self, name)[keep])

    def answers(self) -> list[list[int]]:
        return [row[:n] for row, n in zip(self.written.tolist(), self.lengths.tolist(), strict=True)]


def cache_argument(model: PreTrainedModel) -> str:
    """What this version of transformers calls the cache of keys and values."""
    return "cache" if "cache" in inspect.signature(type(model).forward).parameters else "past_key_values"
