"""First-order gains of token replacements: how much the reward would rise, by its gradient at the embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from miner.rewards.text.swaps import Candidate

GAINS_AT_ONCE = 1 << 26  # entries of a (positions, vocabulary) block held in memory


@dataclass(slots=True)
class EmbeddingTable:
    """What an embedding module puts out for every token, its own scaling (Gemma) included: (n_tokens, hidden)."""

    module: torch.nn.Module
    _rows: torch.Tensor | None = field(default=None, init=False)
    _version: int = field(default=-1, init=False)

    def rows(self) -> torch.Tensor:
        """In fp32; computed again only when the weights have been trained on since."""
        weight = self.module.weight
        assert isinstance(weight, torch.Tensor)
        if self._rows is None or self._version != weight._version:
            with torch.no_grad():
                plain = type(self.module) is torch.nn.Embedding and not weight.is_meta
                place = "cpu" if weight.is_meta else weight.device  # offloaded: its hook moves what it is given
                rows = weight if plain else self.module(torch.arange(len(weight), device=place))
            self._rows, self._version = rows.detach().float(), weight._version
        return self._rows


@contextmanager
def embedding_leaf(module: torch.nn.Module) -> Iterator[Callable[[], torch.Tensor]]:
    """Within it the module's output is a leaf of the graph; the function yielded returns that leaf after a forward."""
    leaves: list[torch.Tensor] = []

    def capture(_module: torch.nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        leaves.append(output.detach().requires_grad_())
        return leaves[-1]

    hook = module.register_forward_hook(capture)
    try:
        yield lambda: leaves[-1]
    finally:
        hook.remove()


def best_by_gain(
    gradient: torch.Tensor, rows: torch.Tensor, here: torch.Tensor, allowed: torch.Tensor, n_per_position: int
) -> list[Candidate]:
    """Per position the ``n_per_position`` allowed tokens of highest gain, the token that is there now left out.

    gain of token t at position i = gradient[i] · (rows[t] − rows[here[i]]); ``gradient`` is (n_positions, hidden).
    """
    n = min(n_per_position, len(rows))
    found: list[Candidate] = []
    block = max(1, GAINS_AT_ONCE // len(rows))
    for start in range(0, len(gradient), block):
        part, now = gradient[start : start + block], here[start : start + block]
        gains = part @ rows.T - (part * rows[now]).sum(1, keepdim=True)  # (block, n_tokens)
        gains.masked_fill_(~allowed, -torch.inf)
        gains.scatter_(1, now[:, None], -torch.inf)
        best = gains.topk(n, dim=1)
        for index, (values, tokens) in enumerate(zip(best.values.tolist(), best.indices.tolist(), strict=True)):
            found += [
                (start + index, token, value) for value, token in zip(values, tokens, strict=True) if value > -torch.inf
            ]
    return found
