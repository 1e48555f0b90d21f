"""What the oracle asks of a reward model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from attacks.queries import Share, Swap, SwapTable
from corpus.records import Conversation, Prompt
from miner.errors import CapabilityError, ModelError, TooLongError

NO_REFERENCE = "Give preference data with a good answer to every prompt, or leave those without one out"
SHOWN = 60  # characters of a prompt in a message
RESCORING_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class Pair:
    """What an RM scores: a response in its conversation."""

    prompt: Conversation
    response: str


class Scorer(Protocol):
    """What is needed of a reward model that only scores: any adapter, an ensemble, a remote one."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    def exact_rewards(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        """As ``RewardModel.exact_rewards``."""
        ...


@dataclass(frozen=True, slots=True)
class SwapRequest:
    """Which single-token replacements of ``response`` raise the weighted sum of its rewards on ``prompts``?"""

    prompts: tuple[Conversation, ...]
    weights: tuple[float, ...]
    response: str
    k: int


@dataclass(frozen=True, slots=True)
class RelaxRequest:
    """The ``Relax`` query of one search."""

    pair: Pair
    steps: int
    readouts: int
    learning_rate: float
    temperature: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAttribution:
    """What each token of a response adds to its reward.

    ``values[i]`` belongs to the characters ``spans[i]`` of the response and is in units of reward. ``rise`` is the
    reward minus that of the masked response; ``sum(values)`` equals it up to ``completeness_error``.
    """

    spans: tuple[tuple[int, int], ...]
    values: tuple[float, ...]
    reward: float
    rise: float
    completeness_error: float

    @property
    def relative_error(self) -> float:
        """The completeness error as a share of what was distributed; 0 where there was nothing to distribute."""
        scale = max(abs(self.rise), *(abs(value) for value in self.values), 1e-12)
        return abs(self.completeness_error) / scale

    @property
    def shares(self) -> tuple[Share, ...]:
        return tuple(Share(start, end, value) for (start, end), value in zip(self.spans, self.values, strict=True))

    def disagrees_with(self, recorded: float) -> bool:
        """Whether the RM at hand scores the response otherwise than was recorded, beyond rounding of any dtype."""
        return abs(self.reward - recorded) > RESCORING_TOLERANCE * max(1.0, abs(recorded))


def no_gradients(name: str) -> CapabilityError:
    """What an RM called ``name`` says where it is asked for gradients and has none."""
    return CapabilityError(f"{name} gives no token gradients. Try: --attack random")


class RewardModel(ABC):
    """A scalar reward from text. Batching, caches and precision are the adapter's business; the reward is not."""

    name: str
    fingerprint: str  # weights, config, tokenizer
    pipeline_hash: str  # template, maximum length, truncation, head
    reward_dtype: str  # dtype of ``reward`` and ``exact_rewards``, e.g. "float32"
    ranking_dtype: str  # dtype of ``rewards``
    special_tokens: tuple[str, ...] = ()  # as text: no finding may hold one
    flops_per_token: float  # forward, one token, without attention's quadratic part
    device: str  # where it runs, for people to read
    n_parameters: int = 0  # of the weights in this process
    is_trainable: bool = False  # whether a patch can retrain it
    is_billed: bool = False  # whether a text scored may cost money, so that none is scored to see how long it takes
    is_relative: bool = False  # whether rewards are relative to the prompt's reference, which then has 0
    batch_invariant: bool = True  # whether ranking rewards are the same, to the last bits, in any company
    can_truncate: bool = True  # whether over-long inputs can be cut; where not, clean measurements leave them out

    @property
    def lost_devices(self) -> tuple[str, ...]:
        """Devices that died at work, with what they said; others went on."""
        return ()

    def require_prompts(self, prompts: Sequence[Prompt]) -> None:
        """Refuse prompts on which no response could be scored.

        Raises:
            ModelError: this RM compares with the reference, and a prompt has none.
        """
        lone = [prompt for prompt in prompts if prompt.reference is None] if self.is_relative else []
        if lone:
            raise ModelError(
                f"{self.name} only compares, and {len(lone)} of {len(prompts)} prompts of the {lone[0].split} split "
                f"have no reference, such as {lone[0].conversation[-1].content[:SHOWN]!r}. {NO_REFERENCE}"
            )

    def clean_pairs(self, prompts: Sequence[Prompt]) -> list[Pair]:
        """The clean texts whose rewards set the bar: the references.

        A reference against itself says nothing: where rewards are relative to it they are the second answers, rejected
        ones, else other prompts' references.
        """
        known = [prompt for prompt in prompts if prompt.reference is not None]
        if not self.is_relative:
            return [Pair(prompt.conversation, str(prompt.reference)) for prompt in known]
        others = [*known[1:], *known[:1]]
        return [Pair(prompt.conversation, text) for prompt in known for text in prompt.rejected] or [
            Pair(one.conversation, str(other.reference)) for one, other in zip(known, others, strict=True)
        ]

    @abstractmethod
    def reward(self, pair: Pair) -> float:
        """The reward from text: ordinary pipeline, batch of one, no cache, ``reward_dtype``; NaN where there is none.

        Raises:
            TooLongError: the input is over the maximum length and truncation was not asked for.
        """

    @abstractmethod
    def rewards(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        """Ranking rewards, shape (n_pairs,): batched, cached, in the ranking dtype. Order of pairs does not matter.

        Raises:
            TooLongError: as ``reward``.
        """

    def rewards_apart(self, parts: Sequence[Sequence[Pair]]) -> list[npt.NDArray[np.float64]]:
        """``rewards`` of every part, in batches of its own: what one part is given depends on no other.

        Raises:
            TooLongError: as ``reward``.
        """
        return [self.rewards(part) for part in parts]

    def exact_rewards(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        """``reward`` of each pair within 1e-4, shape (n_pairs,); an adapter that can batches them.

        Raises:
            TooLongError: as ``reward``.
        """
        return np.array([self.reward(pair) for pair in pairs], dtype=np.float64)

    @abstractmethod
    def n_tokens(self, pair: Pair) -> int:
        """Tokens of the whole input, special ones included.

        Raises:
            TooLongError: as ``reward``.
        """

    def lengths(self, pairs: Sequence[Pair]) -> list[int]:
        """``n_tokens`` of each pair."""
        return [self.n_tokens(pair) for pair in pairs]

    def refusal(self, pair: Pair) -> TooLongError | ModelError | None:
        """Why it cannot be scored: too long, or turns that the template does not know. None where it can."""
        try:
            self.n_tokens(pair)
        except (TooLongError, ModelError) as error:
            return error
        return None

    def takes(self, pair: Pair) -> bool:
        """Whether it can be scored."""
        return self.refusal(pair) is None

    def flops(self, n_tokens: int) -> float:
        """Forward FLOPs of one text of ``n_tokens`` without any cache."""
        return self.flops_per_token * n_tokens

    def flops_together(self, pairs: Sequence[Pair]) -> float:
        """Forward FLOPs of scoring the pairs together: what texts of one prompt share is counted as often as it is
        computed. Errors as ``lengths``."""
        return sum(map(self.flops, self.lengths(pairs)))

    def swaps(self, requests: Sequence[SwapRequest]) -> list[SwapTable]:
        """Per request the best replacements by gradient, those that do not survive decode → encode already gone.

        Raises:
            CapabilityError: this RM gives no gradients.
        """
        del requests
        raise no_gradients(self.name)

    def attribution(self, pair: Pair, steps: int) -> TokenAttribution | None:
        """What each token of the response adds to its reward, integrated in ``steps``; None where none can be told
        apart. Errors as ``swaps``, and as ``reward``."""
        del pair, steps
        raise no_gradients(self.name)

    def attributions(self, pair: Pair, steps: int) -> tuple[Share, ...]:
        """``attribution`` token by token, empty where it is None."""
        found = self.attribution(pair, steps)
        return () if found is None else found.shares

    def latents(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        """The last hidden state where each reward is read: (n_pairs, hidden).

        Raises:
            CapabilityError: this RM shows none. TooLongError: as ``reward``.
        """
        del pairs
        raise CapabilityError(f"{self.name} shows no hidden states, only rewards")

    def relax(self, requests: Sequence[RelaxRequest]) -> list[tuple[str, ...]]:
        """Per request the texts read off its soft tokens; errors as ``swaps``."""
        del requests
        raise no_gradients(self.name)

    @property
    def has_gradients(self) -> bool:
        return type(self).swaps is not RewardModel.swaps

    @abstractmethod
    def random_swaps(self, pair: Pair, n: int, rng: np.random.Generator) -> tuple[Swap, ...]:
        """``n`` replacements, position and token uniform over what survives; fewer where too few survive."""

    @abstractmethod
    def words(self, n: int, rng: np.random.Generator) -> tuple[str, ...]:
        """``n`` whole words drawn uniformly from the allowed vocabulary."""

    @abstractmethod
    def all_tokens(self) -> tuple[str, ...]:
        """Every allowed vocabulary entry that survives alone as a response, in vocabulary order."""
