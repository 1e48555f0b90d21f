"""The replacements of single tokens that the gradient promises most for, of those that survive decode → encode."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from attacks.queries import SwapTable
from miner.rewards.base import SwapRequest
from miner.rewards.compute.forward import Forward
from miner.rewards.compute.gradients import best_by_gain
from miner.rewards.text.swaps import EditableText

TRIED_PER_WANTED = 16  # behind a word's first piece most tokens do not survive


def gradient_swaps(forward: Forward, requests: Sequence[SwapRequest]) -> list[SwapTable]:
    """Per request its table; one backward pass over the texts of all, where no text moves another's gradient.

    Raises:
        TooLongError: as ``RewardModel.reward``.
    """
    if forward.batch_invariant:
        return _together(forward, requests)
    return [table for request in requests for table in _together(forward, [request])]


def _together(forward: Forward, requests: Sequence[SwapRequest]) -> list[SwapTable]:
    texts = [EditableText.of(forward.pipeline, forward.vocabulary, one.prompts, one.response) for one in requests]
    weights = [weight for request in requests for weight in request.weights]
    gradients = iter(forward.gradients([one for text in texts for one in text.encoded], weights))
    return [
        _table(forward, text, [next(gradients) for _ in text.encoded], request.k)
        for text, request in zip(texts, requests, strict=True)
    ]


def _table(forward: Forward, text: EditableText, gradients: Sequence[torch.Tensor], k: int) -> SwapTable:
    """Empty positions where the prompts do not agree on the response's tokens: no single token is edited there."""
    first = text.encoded[0]
    if not text.has_positions:
        return tuple(() for _ in first.positions)
    rows = forward.embedding_rows()
    here = torch.tensor([first.ids[i] for i in first.positions], device=rows.device)
    allowed = torch.from_numpy(forward.vocabulary.allowed).to(rows.device)
    gradient = torch.stack(list(gradients)).sum(0)  # (n_positions, hidden)
    return text.table(best_by_gain(gradient, rows, here, allowed, TRIED_PER_WANTED * k), k)
