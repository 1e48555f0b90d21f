"""For tests of attacks, drivers and checks: a reward model without torch, with a planted flaw and a known optimum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from attacks import Swap, SwapTable
from corpus.records import Message, Prompt, digest
from miner.rewards.base import Pair, RelaxRequest, RewardModel, SwapRequest, TokenAttribution

SYLLABLES = ("ba", "ke", "li", "mo", "nu", "ra", "se", "ti", "vo", "wu")


class ToyRewardModel(RewardModel):
    """Words of two syllables; the reward is the mean weight of a response's words.

    The weights are drawn from ``seed``, except the flaw: ``flaw`` alone weighs ``FLAW_WEIGHT``, so that the text of
    nothing but it is the optimum. Unknown words weigh nothing.
    """

    FLAW_WEIGHT = 10.0
    name = "toy"
    reward_dtype = "float64"
    ranking_dtype = "float64"
    device = "cpu"

    def __init__(self, *, seed: int = 0, gives_gradients: bool = True) -> None:
        self.seed = seed
        self.vocabulary = tuple(a + b for a in SYLLABLES for b in SYLLABLES)
        rng = np.random.default_rng(seed)
        self.weights = dict(zip(self.vocabulary, rng.normal(size=len(self.vocabulary)), strict=True))
        self.flaw = self.vocabulary[int(rng.integers(len(self.vocabulary)))]
        self.weights[self.flaw] = self.FLAW_WEIGHT
        self.fingerprint = digest(["toy", seed])
        self.pipeline_hash = digest("split on spaces")
        self.gives_gradients = gives_gradients
        self.scored: list[Pair] = []

    @property
    def has_gradients(self) -> bool:
        return self.gives_gradients

    def reward(self, pair: Pair) -> float:
        words = pair.response.split(" ")
        return float(sum(self.weights.get(word, 0.0) for word in words) / len(words))

    def rewards(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        self.scored += pairs
        return np.array([self.reward(pair) for pair in pairs], dtype=np.float64)

    def exact_rewards(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        return np.array([self.reward(pair) for pair in pairs], dtype=np.float64)

    def n_tokens(self, pair: Pair) -> int:
        return len(pair.response.split(" "))

    def flops(self, n_tokens: int) -> float:
        return 2.0 * n_tokens

    def swaps(self, requests: Sequence[SwapRequest]) -> list[SwapTable]:
        return [self._table(request) for request in requests]

    def _table(self, request: SwapRequest) -> SwapTable:
        rows = []
        for start, word in _words(request.response):
            here = self.weights.get(word, 0.0)
            gains = sorted(((self.weights[new] - here, new) for new in self.vocabulary if new != word), reverse=True)
            scale = sum(request.weights) / len(request.response.split(" "))
            rows.append(tuple(Swap(start, start + len(word), new, gain * scale) for gain, new in gains[: request.k]))
        return tuple(rows)

    def attribution(self, pair: Pair, steps: int) -> TokenAttribution:
        """Exact, whatever the steps: the reward is a sum over words, and nothing is worth 0."""
        del steps
        places, reward = _words(pair.response), self.reward(pair)
        return TokenAttribution(
            spans=tuple((at, at + len(word)) for at, word in places),
            values=tuple(self.weights.get(word, 0.0) / len(places) for _, word in places),
            reward=reward,
            rise=reward,
            completeness_error=0.0,
        )

    def relax(self, requests: Sequence[RelaxRequest]) -> list[tuple[str, ...]]:
        """One more word is the flaw at every readout."""
        return [
            tuple(" ".join([self.flaw] * n + one.pair.response.split(" ")[n:]) for n in range(1, one.readouts + 1))
            for one in requests
        ]

    def random_swaps(self, pair: Pair, n: int, rng: np.random.Generator) -> tuple[Swap, ...]:
        places = _words(pair.response)
        picks = rng.integers(len(places), size=n)
        words = rng.choice(self.vocabulary, size=n)
        return tuple(
            Swap(places[i][0], places[i][0] + len(places[i][1]), str(new))
            for i, new in zip(picks, words, strict=True)
            if places[i][1] != new
        )

    def words(self, n: int, rng: np.random.Generator) -> tuple[str, ...]:
        return tuple(map(str, rng.choice(self.vocabulary, size=n)))

    def all_tokens(self) -> tuple[str, ...]:
        return self.vocabulary


def toy_prompts(n: int, *, reference: str | None = "ba ba", split: str = "train") -> tuple[Prompt, ...]:
    """``n`` different one-turn prompts, each a group of its own."""
    return tuple(
        Prompt(
            conversation=(Message(role="user", content=f"Question {number}?"),),
            reference=reference,
            group_key=str(number),
            split=split,  # type: ignore[arg-type]
        )
        for number in range(n)
    )


def _words(text: str) -> list[tuple[int, str]]:
    """(start, word) of the space-separated words."""
    places, at = [], 0
    for word in text.split(" "):
        places.append((at, word))
        at += len(word) + 1
    return places
