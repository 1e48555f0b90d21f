"""For tests of attacks, drivers and checks: a reward model without torch, with a planted flaw and a known optimum.

And for whoever adds a kind of reward model: what every one of them promises, as a list of what is broken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from attacks import Swap, SwapTable
from corpus.records import Message, Prompt, digest
from miner.errors import CapabilityError
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


def reward_model_violations(rm: RewardModel, pairs: Sequence[Pair], *, tolerance: float = 1e-4) -> list[str]:
    """What of the contract in ``miner.rewards.base`` a reward model of any kind breaks on ``pairs``, in words.

    ``pairs`` are two or more texts that it takes, whose rewards differ; ``tolerance`` is that of its rewards. An RM
    that ranks in a coarser dtype than it confirms in is to be opened in one dtype.
    """
    return [
        f"{rule.__name__.strip('_').replace('_', ' ')}: {broken}"
        for rule in (_names, _rewards, _lengths, _edits, _gradients, _hidden_states)
        for broken in rule(rm, pairs, tolerance)
    ]


def _names(rm: RewardModel, _pairs: Sequence[Pair], _tolerance: float) -> Iterator[str]:
    for field in ("name", "fingerprint", "pipeline_hash", "reward_dtype", "ranking_dtype", "device"):
        if not (isinstance(getattr(rm, field, None), str) and getattr(rm, field)):
            yield f"{field} is no text"


def _rewards(rm: RewardModel, pairs: Sequence[Pair], tolerance: float) -> Iterator[str]:
    alone = np.array([rm.reward(pair) for pair in pairs])
    if not np.ptp(alone) > 10 * tolerance:
        yield "rewards are not finite, or too close together to tell apart"
    twice = [*pairs, *pairs[::-1]]
    asked = {
        "again": np.array([rm.reward(pair) for pair in pairs]),
        "exact": rm.exact_rewards(pairs),
        "ranked": rm.rewards(pairs),
        "in other company": rm.rewards(twice)[: len(pairs)],
        "in other order": rm.rewards(pairs[::-1])[::-1],
    }
    for way, rewards in asked.items():
        if rewards.shape != alone.shape or not np.abs(rewards - alone).max() <= tolerance:
            yield f"{way}, rewards differ from those of each text alone"
    if rm.rewards([]).shape != (0,) or rm.exact_rewards([]).shape != (0,):
        yield "no texts do not get no rewards"


def _lengths(rm: RewardModel, pairs: Sequence[Pair], _tolerance: float) -> Iterator[str]:
    lengths = [rm.n_tokens(pair) for pair in pairs]
    if min(lengths) < 1:
        yield "a text has no tokens"
    if rm.lengths(pairs) != lengths:
        yield "lengths are not those of each text alone"
    if not all(rm.takes(pair) for pair in pairs):
        yield "it does not take a text that it scores"
    if not 0 <= rm.flops(10) <= rm.flops(20):
        yield "a longer text costs less"


def _edits(rm: RewardModel, pairs: Sequence[Pair], _tolerance: float) -> Iterator[str]:
    pair = max(pairs, key=lambda one: len(one.response))
    drawn, again = (rm.random_swaps(pair, 8, np.random.default_rng(0)) for _ in range(2))
    if drawn != again:
        yield "the same generator draws other replacements"
    if len(drawn) > 8 or not all(_within(swap, pair.response) for swap in drawn):
        yield "replacements are too many or outside the text"
    words = rm.words(16, np.random.default_rng(0))
    if len(words) != 16 or not all(word.strip() for word in words):
        yield f"16 words are {len(words)}, or some are empty"
    if any(special in word for word in words for special in rm.special_tokens):
        yield "a word holds a special token"
    tokens = rm.all_tokens()
    if not tokens or len(set(tokens)) < len(tokens):
        yield "its tokens are none, or some twice"


def _gradients(rm: RewardModel, pairs: Sequence[Pair], tolerance: float) -> Iterator[str]:
    pair = max(pairs, key=lambda one: len(one.response))
    request = SwapRequest(prompts=(pair.prompt,), weights=(1.0,), response=pair.response, k=2)
    relaxed = RelaxRequest(pair=pair, steps=2, readouts=1, learning_rate=0.3, temperature=1.0, seed=0)
    asked: dict[str, Callable[[], object]] = {
        "swaps": lambda: rm.swaps([request]),
        "attribution": lambda: rm.attribution(pair, 4),
        "relax": lambda: rm.relax([relaxed]),
    }
    if not rm.has_gradients:
        yield from (f"{name} is answered, though it has no gradients" for name in asked if _answers(asked[name]))
        return
    (table,) = rm.swaps([request])
    if not any(table) or not all(_within(swap, pair.response) for row in table for swap in row):
        yield "swaps are none, or outside the text"
    found = rm.attribution(pair, 64)
    if found is not None:
        if not all(0 <= start < end <= len(pair.response) for start, end in found.spans):
            yield "an attribution is outside the text"
        if abs(sum(found.values) - found.rise - found.completeness_error) > 10 * tolerance:
            yield "attributions do not add up to the rise and their error"
        if abs(found.reward - rm.reward(pair)) > tolerance:
            yield "an attribution is of another reward"
    if len(rm.relax([relaxed])) != 1:
        yield "relax does not answer each request"


def _hidden_states(rm: RewardModel, pairs: Sequence[Pair], _tolerance: float) -> Iterator[str]:
    try:
        latents = rm.latents(pairs)
    except CapabilityError:
        return
    if latents.ndim != 2 or len(latents) != len(pairs) or not np.isfinite(latents).all():
        yield f"latents are of shape {latents.shape}, or not finite"


def _answers(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except CapabilityError:
        return False
    return True


def _within(swap: Swap, text: str) -> bool:
    return 0 <= swap.start < swap.end <= len(text) and swap.apply(text) != text
