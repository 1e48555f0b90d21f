"""An RM behind HTTP: scores only, so black-box attacks alone work on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from attacks.queries import Swap
from corpus.records import digest
from miner.rewards.base import Pair, RewardModel
from miner.rewards.remote.endpoints import Endpoint, Precision
from miner.rewards.remote.parallel import in_parallel
from miner.rewards.remote.words import EditableWords

Rewards = npt.NDArray[np.float64]


@dataclass(kw_only=True, eq=False)
class RemoteRewardModel(RewardModel):
    """The RM behind ``endpoint``, asked ``concurrency`` requests at once; ``words`` are what edits are made of.

    A text that the server takes but does not score has the reward NaN. A server that is gone raises, and nothing is
    made up. The fingerprint is the served RM's own where the server tells it; its pipeline is another one than the same
    RM's here, because edits are drawn from other words.

    Raises:
        OutageError, RemoteError, BudgetExceededError: from every method that asks; see ``miner.rewards.remote.http``.
    """

    endpoint: Endpoint
    words_of: EditableWords
    concurrency: int = 8
    name: str = field(init=False)
    fingerprint: str = field(init=False)
    pipeline_hash: str = field(init=False)
    reward_dtype: str = field(init=False)
    ranking_dtype: str = field(init=False)
    special_tokens: tuple[str, ...] = field(init=False)
    flops_per_token: float = field(init=False)
    device: str = field(init=False)
    is_relative: bool = field(init=False)
    is_billed = True

    def __post_init__(self) -> None:
        served = self.endpoint.served()
        self.name = served.name
        self.fingerprint = served.fingerprint
        self.pipeline_hash = digest(["remote", served.pipeline_hash, self.words_of.identity])
        self.reward_dtype, self.ranking_dtype = served.reward_dtype, served.ranking_dtype
        self.special_tokens = served.special_tokens
        self.is_relative = served.is_relative
        self.flops_per_token = served.flops_per_token
        self.device = f"remote, {self.endpoint.client.root}"

    def reward(self, pair: Pair) -> float:
        return float(self._scored([pair], "alone")[0])

    def rewards(self, pairs: Sequence[Pair]) -> Rewards:
        return self._scored(pairs, "ranking")

    def exact_rewards(self, pairs: Sequence[Pair]) -> Rewards:
        return self._scored(pairs, "exact")

    def _scored(self, pairs: Sequence[Pair], precision: Precision) -> Rewards:
        """Equal pairs are asked once."""
        unique, size = list(dict.fromkeys(pairs)), self.endpoint.texts_per_request
        parts = [unique[start : start + size] for start in range(0, len(unique), size)]
        scored = in_parallel(lambda part: self.endpoint.score(part, precision), parts, at_once=self.concurrency)
        found = [reward for part in scored for reward in part]
        reward_of = dict(zip(unique, found, strict=True))
        return np.array([reward_of[pair] for pair in pairs], dtype=np.float64)  # None becomes NaN

    def n_tokens(self, pair: Pair) -> int:
        return self.lengths([pair])[0]

    def lengths(self, pairs: Sequence[Pair]) -> list[int]:
        return self.endpoint.lengths(pairs)

    def random_swaps(self, pair: Pair, n: int, rng: np.random.Generator) -> tuple[Swap, ...]:
        return self.words_of.random_swaps(pair, n, rng)

    def words(self, n: int, rng: np.random.Generator) -> tuple[str, ...]:
        return self.words_of.draw(n, rng)

    def all_tokens(self) -> tuple[str, ...]:
        return self.words_of.all_tokens()
