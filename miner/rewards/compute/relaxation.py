"""Soft tokens pulled uphill by gradient: Gumbel-softmax relaxation (Guo et al. 2021, arXiv:2104.13733).

Every response token that is a whole word becomes a distribution over words, held as scores θ that Adam ascends. A step
draws one sample with Gumbel noise, feeds the expected embedding to the model in place of the token's own, and follows
the reward's gradient back to θ. A text is read off by the highest score at each place. Nothing here decides what a text
is worth: soft rewards say little of hard texts, which are scored like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from attacks.climb import apply_all
from miner.checkpoints.devices import device_of
from miner.rewards.base import RelaxRequest
from miner.rewards.text.swaps import edits_of

if TYPE_CHECKING:
    from miner.rewards.adapters.transformer import TransformerRewardModel
    from miner.rewards.text.pipeline import Encoded

MEMORY = 8  # tokens of a forward pass that one token of a run takes the memory of
START_SCORE = 8.0  # of the token that is there: well over the noise, so that the way begins near the text


def relax(model: TransformerRewardModel, requests: Sequence[RelaxRequest]) -> list[tuple[str, ...]]:
    """Per request its texts, in the order they were read off. One without locatable tokens gets none.

    Raises:
        TooLongError: as ``RewardModel.reward``.
    """
    found: dict[int, tuple[str, ...]] = {}
    for of_kind in _by_settings(requests) if model.batch_invariant else [[i] for i in range(len(requests))]:
        encoded = [model.pipeline.encode(requests[i].pair) for i in of_kind]

        def run(
            batch: list[int], of_kind: Sequence[int] = of_kind, encoded: Sequence[Encoded] = encoded
        ) -> npt.NDArray[np.float64]:
            texts = _relaxed(model, [requests[of_kind[i]] for i in batch], [encoded[i] for i in batch])
            found.update(zip([of_kind[i] for i in batch], texts, strict=True))
            return np.zeros(len(batch))

        model.budget.run([len(one.ids) for one in encoded], run, memory_factor=MEMORY)
    return [found[i] for i in range(len(requests))]


def _by_settings(requests: Sequence[RelaxRequest]) -> list[list[int]]:
    """Indices of requests that can share a run: same steps, rate and temperature."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for i, one in enumerate(requests):
        groups.setdefault((one.steps, one.readouts, one.learning_rate, one.temperature), []).append(i)
    return list(groups.values())


def _relaxed(
    model: TransformerRewardModel, requests: Sequence[RelaxRequest], encoded: Sequence[Encoded]
) -> list[tuple[str, ...]]:
    words = torch.from_numpy(np.flatnonzero(model.vocabulary.whole_words)).to(device_of(model.model))
    rows = model.embedding_rows()[words]  # (n_words, hidden)
    places = [_words_in(one, words) for one in encoded]
    scores = [_start(one, at, words) for one, at in zip(encoded, places, strict=True)]
    noise = [torch.Generator(device=words.device).manual_seed(request.seed) for request in requests]
    settings = requests[0]
    if not any(map(len, scores)):
        return [() for _ in requests]
    adam = torch.optim.Adam(scores, lr=settings.learning_rate, maximize=True)
    stops = set(np.linspace(0, settings.steps, settings.readouts + 1).round().astype(int)[1:].tolist())
    texts: list[list[str]] = [[] for _ in requests]
    for step in range(1, settings.steps + 1):
        with torch.enable_grad():
            soft = [_expected(theta, rows, settings.temperature, rng) for theta, rng in zip(scores, noise, strict=True)]
        with torch.enable_grad(), _embedded(model, encoded, places, soft):
            rewards = model.logits_for_training(model.ranking_model, [one.row for one in encoded]).float()
            gradients = torch.autograd.grad(rewards.sum(), scores)  # of the scores alone, not of the weights
        for theta, gradient in zip(scores, gradients, strict=True):
            theta.grad = gradient
        adam.step()
        if step in stops:
            for i, (request, one) in enumerate(zip(requests, encoded, strict=True)):
                best = zip(places[i], words[scores[i].argmax(1)].tolist(), strict=True)
                texts[i].append(_read_off(model, request.pair.response, one, best))
    return [tuple(dict.fromkeys(of_request)) for of_request in texts]


def _words_in(encoded: Encoded, words: torch.Tensor) -> list[int]:
    """The places (indices into the response's positions) that hold a word; pieces of words stay as they are."""
    known = set(words.tolist())
    return [place for place, at in enumerate(encoded.positions) if encoded.ids[at] in known]


def _start(encoded: Encoded, places: Sequence[int], words: torch.Tensor) -> torch.Tensor:
    """(n_places, n_words): high for the word that is there, zero for all others."""
    here = torch.tensor([encoded.ids[encoded.positions[i]] for i in places], device=words.device, dtype=torch.long)
    return (START_SCORE * (here[:, None] == words[None, :]).float()).requires_grad_()


def _expected(scores: torch.Tensor, rows: torch.Tensor, temperature: float, noise: torch.Generator) -> torch.Tensor:
    """Expected embeddings of one draw: (n_places, hidden)."""
    gumbel = -torch.empty_like(scores).exponential_(generator=noise).clamp_min(1e-9).log()
    return torch.softmax((scores + gumbel) / temperature, dim=1) @ rows


@contextmanager
def _embedded(
    model: TransformerRewardModel,
    encoded: Sequence[Encoded],
    places: Sequence[Sequence[int]],
    soft: Sequence[torch.Tensor],
) -> Iterator[None]:
    """Within it the ranking model embeds the responses' tokens at ``places`` as ``soft`` says."""

    def replace(_module: torch.nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        mixed = output.clone()
        for row, (one, at, vectors) in enumerate(zip(encoded, places, soft, strict=True)):
            shift = model.first_column(output.shape[1], len(one.ids))
            mixed[row, [one.positions[place] + shift for place in at]] = vectors.to(output.dtype)
        return mixed

    hook = model.ranking_model.get_input_embeddings().register_forward_hook(replace)
    try:
        yield
    finally:
        hook.remove()


def _read_off(model: TransformerRewardModel, response: str, encoded: Encoded, best: Iterable[tuple[int, int]]) -> str:
    """The response with the words that ``best`` names by place."""
    return apply_all(response, [edits_of(encoded, response, model.vocabulary, (*one, 0.0))[0] for one in best])
