"""The replacements of single tokens that the gradient promises most for, of those that survive decode → encode."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from attacks.queries import SwapTable
from miner.rewards.base import Pair, SwapRequest
from miner.rewards.compute.forward import Forward
from miner.rewards.compute.gradients import best_by_gain
from miner.rewards.text import swaps
from miner.rewards.text.pipeline import Encoded

TRIED_PER_WANTED = 16  # behind a word's first piece most tokens do not survive


def gradient_swaps(forward: Forward, requests: Sequence[SwapRequest]) -> list[SwapTable]:
    """Per request its table, one backward pass over the texts of all.

    Raises:
        TooLongError: as ``RewardModel.reward``.
    """
    encoded = [[forward.pipeline.encode(Pair(p, request.response)) for p in request.prompts] for request in requests]
    weights = [weight for request in requests for weight in request.weights]
    gradients = iter(forward.gradients([one for of_request in encoded for one in of_request], weights))
    tables = []
    for request, of_request in zip(requests, encoded, strict=True):
        of_prompts = [next(gradients) for _ in of_request]
        tables.append(_table(forward, request, of_request, of_prompts))
    return tables


def _table(
    forward: Forward, request: SwapRequest, encoded: Sequence[Encoded], gradients: Sequence[torch.Tensor]
) -> SwapTable:
    """Empty positions where the prompts do not agree on the response's tokens: no single token is edited there."""
    first = encoded[0]
    if not first.positions or any(one.spans != first.spans for one in encoded):
        return tuple(() for _ in first.positions)
    rows = forward.embedding_rows()
    here = torch.tensor([first.ids[i] for i in first.positions], device=rows.device)
    allowed = torch.from_numpy(forward.vocabulary.allowed).to(rows.device)
    gradient = torch.stack(list(gradients)).sum(0)  # (n_positions, hidden)
    tried = best_by_gain(gradient, rows, here, allowed, TRIED_PER_WANTED * request.k)
    return swaps.table(
        forward.pipeline, request.prompts, request.response, encoded, forward.vocabulary, tried, request.k
    )
