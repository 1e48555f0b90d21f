"""A forward pass as a reward model: identity, replicas, lengths, and the edits of its own tokens."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from attacks.queries import Swap, SwapTable
from corpus.records import digest
from miner.checkpoints.devices import device_map_of
from miner.checkpoints.quantised import quantisation
from miner.checkpoints.tokenizers import special_tokens
from miner.rewards.base import Pair, RelaxRequest, RewardModel, SwapRequest, TokenAttribution, no_gradients
from miner.rewards.compute.fleet import Fleet
from miner.rewards.compute.forward import Forward, ScoredText, input_embeddings
from miner.rewards.compute.gradient_swaps import gradient_swaps
from miner.rewards.text.swaps import EditableText, lone_tokens

T = TypeVar("T")
R = TypeVar("R")
LENGTHS_KEPT = 1 << 16  # of the texts scored last


@dataclass(kw_only=True, eq=False)
class TransformerRewardModel(Forward, RewardModel):
    """``fleet`` holds this model and its replicas on other devices; None where there are no replicas."""

    fingerprint: str
    fleet: Fleet[Forward] | None = None
    pipeline_hash: str = field(init=False)
    flops_per_token: float = field(init=False)
    n_parameters: int = field(init=False)

    @property
    def is_trainable(self) -> bool:  # type: ignore[override]
        """A model spread over devices is not, whose weights come and go, nor is a quantised one."""
        return not device_map_of(self.model) and quantisation(self.model) is None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.pipeline_hash = digest([self.pipeline.hash, *self.head_identity()])
        table = input_embeddings(self.model)
        embedded = 0 if table is None else sum(p.numel() for p in table.parameters())
        self.n_parameters = sum(p.numel() for p in self.model.parameters())
        self.flops_per_token = 2.0 * (self.n_parameters - embedded)
        tokenizer = self.pipeline.tokenizer
        self.special_tokens = tuple(special_tokens(tokenizer))
        self._all_tokens: tuple[str, ...] | None = None
        self._lengths: dict[Pair, int] = {}  # in tokens, as the scoring found them

    @abstractmethod
    def head_identity(self) -> list[object]:
        """Where and by what the reward is read off."""

    @property
    def lost_devices(self) -> tuple[str, ...]:
        return tuple(self.fleet.lost) if self.fleet else ()

    def reward(self, pair: Pair) -> float:
        return float(self._scored([pair], lambda forward, part: [forward.alone(one) for one in part])[0])

    def exact_rewards(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        return self._scored(pairs, lambda forward, part: forward.exact(part))

    def rewards(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        return self._scored(pairs, lambda forward, part: forward.ranked(part))

    def _scored(
        self, pairs: Sequence[Pair], work: Callable[[Forward, Sequence[Pair]], list[ScoredText]]
    ) -> npt.NDArray[np.float64]:
        """The rewards; how long the texts were is remembered."""
        return self._remembered(pairs, self._spread(pairs, work))

    def rewards_apart(self, parts: Sequence[Sequence[Pair]]) -> list[npt.NDArray[np.float64]]:
        scored = self._spread(parts, lambda forward, some: [forward.ranked(part) for part in some])
        return [self._remembered(part, of_part) for part, of_part in zip(parts, scored, strict=True)]

    def _remembered(self, pairs: Sequence[Pair], scored: Sequence[ScoredText]) -> npt.NDArray[np.float64]:
        self._lengths.update((pair, one.n_tokens) for pair, one in zip(pairs, scored, strict=True))
        for oldest in list(islice(self._lengths, max(0, len(self._lengths) - LENGTHS_KEPT))):
            del self._lengths[oldest]
        return np.array([one.reward for one in scored], dtype=np.float64)

    def _spread(self, items: Sequence[T], work: Callable[[Forward, Sequence[T]], Sequence[R]]) -> Sequence[R]:
        return self.fleet.spread(items, work) if self.fleet else work(self, items)

    @cached_property
    def has_gradients(self) -> bool:
        return self.can_differentiate()

    def _require_gradients(self) -> None:
        if not self.has_gradients:
            raise no_gradients(self.name)

    def flops(self, n_tokens: int) -> float:
        config = self.model.config.get_text_config()
        quadratic = 4.0 * int(config.num_hidden_layers) * int(config.hidden_size)
        return self.flops_per_token * n_tokens + quadratic * n_tokens**2

    def n_tokens(self, pair: Pair) -> int:
        return self.lengths([pair])[0]

    def lengths(self, pairs: Sequence[Pair]) -> list[int]:
        """Of texts that were scored lately as the scoring found them, of others by the tokenizer."""
        known = {pair: self._lengths[pair] for pair in pairs if pair in self._lengths}
        others = list(dict.fromkeys(pair for pair in pairs if pair not in known))
        known.update((pair, len(ids)) for pair, (ids, _) in zip(others, self.pipeline.ids(others), strict=True))
        return [known[pair] for pair in pairs]

    def swaps(self, requests: Sequence[SwapRequest]) -> list[SwapTable]:
        self._require_gradients()
        return list(self._spread(requests, gradient_swaps))

    def attribution(self, pair: Pair, steps: int) -> TokenAttribution | None:
        from miner.rewards.compute.attribution import attribute

        self._require_gradients()
        (found,) = self._spread([pair], lambda forward, pairs: [attribute(forward, pairs[0], n_steps=steps)])
        return found

    def latents(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        from miner.rewards.compute.latents import latents

        return np.array(self._spread(pairs, latents), dtype=np.float64)

    def relax(self, requests: Sequence[RelaxRequest]) -> list[tuple[str, ...]]:
        from miner.rewards.compute.relaxation import relax

        self._require_gradients()
        return list(self._spread(requests, relax))

    def random_swaps(self, pair: Pair, n: int, rng: np.random.Generator) -> tuple[Swap, ...]:
        return EditableText.of(self.pipeline, self.vocabulary, [pair.prompt], pair.response).draw(n, rng)

    def words(self, n: int, rng: np.random.Generator) -> tuple[str, ...]:
        return self.vocabulary.draw_words(n, rng)

    def all_tokens(self) -> tuple[str, ...]:
        if self._all_tokens is None:
            self._all_tokens = lone_tokens(self.pipeline, self.vocabulary)
        return self._all_tokens
