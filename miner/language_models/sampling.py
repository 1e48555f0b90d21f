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
    device = model.device
    longest = max(map(len, prompts))
    ids = torch.full((len(prompts), longest), decoding.pad_token, device=device)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):  # left padding: every prompt ends where its answer begins
        ids[row, longest - len(prompt) :] = torch.tensor(list(prompt), device=device)
        mask[row, longest - len(prompt) :] = 1
    ends = torch.tensor(decoding.end_tokens, device=device)
    n_rows = len(prompts) * per_prompt
    written = torch.full((n_rows, decoding.max_new_tokens), decoding.pad_token, device=device)
    lengths = torch.full((n_rows,), decoding.max_new_tokens)
    alive = torch.arange(n_rows, device=device)  # which row of ``written`` each row of the batch writes
    run: Any = model
    name = cache_argument(model)
    with torch.no_grad():
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        output = run(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1)
        cache, logits = output[name], output.logits[:, -1]
        position = positions[:, -1:]
        if per_prompt > 1:
            cache.batch_repeat_interleave(per_prompt)
            mask, position, logits = (x.repeat_interleave(per_prompt, 0) for x in (mask, position, logits))
        ended = torch.zeros(n_rows, dtype=torch.bool, device=device)
        for at in range(decoding.max_new_tokens):
            if at < decoding.min_new_tokens:
                logits = logits.index_fill(1, ends, float("-inf"))
            odds = (logits.float() / decoding.temperature).softmax(-1)
            if not bool(odds.isfinite().all()):
                raise BrokenPolicyError("the policy's next-token probabilities are not finite: its weights broke")
            token = torch.multinomial(odds, 1, generator=generator)[:, 0]
            going = alive[~ended]
            written[going, at] = token[~ended]
            now = ~ended & torch.isin(token, ends)
            lengths[alive[now].cpu()] = at + 1
            ended |= now
            left = int((~ended).sum())
            if left == 0 or at + 1 == decoding.max_new_tokens:
                break
            if left < SHRINK_AT * len(alive):
                keep = torch.nonzero(~ended)[:, 0]
                cache.batch_select_indices(keep)
                alive, mask, position, token, ended = (x[keep] for x in (alive, mask, position, token, ended))
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            position = position + 1
            step = {"input_ids": token[:, None], "attention_mask": mask, "position_ids": position, name: cache}
            output = run(**step, use_cache=True)
            cache, logits = output[name], output.logits[:, -1]
    rows = written.tolist()
    return [row[:length] for row, length in zip(rows, lengths.tolist(), strict=True)]


def cache_argument(model: PreTrainedModel) -> str:
    """What this version of transformers calls the cache of keys and values."""
    return "cache" if "cache" in inspect.signature(type(model).forward).parameters else "past_key_values"
