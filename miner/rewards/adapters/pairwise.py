"""Pairwise RMs as reward models: how surely a response beats the prompt's reference, whichever is shown first.

A comparison with the response first gives the log-odds that it is better, one with the response second those that it is
worse; the reward is half their difference. That takes out what the RM gives to a place: the reward of a against b is
minus that of b against a, and the reference itself gets 0. Both comparisons are weighted terms over one text, so
gradients and edits come from the comparing model as for a text on several prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from attacks.queries import Share, Swap, SwapTable
from corpus.records import Conversation, Message, digest
from miner.errors import ModelError
from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.rewards.base import NO_REFERENCE, SHOWN, Pair, RelaxRequest, RewardModel, SwapRequest
from miner.rewards.text.swaps import EditableText
from miner.rewards.text.template_pipeline import RIVAL_FIRST, RIVAL_SECOND


@dataclass(kw_only=True, eq=False)
class PairwiseRewardModel(RewardModel):
    """``comparer`` gives the log-odds that the answer shown first is better; ``references`` the answers to beat."""

    comparer: TransformerRewardModel
    references: Mapping[Conversation, str]
    compares = True
    can_truncate = False

    def __post_init__(self) -> None:
        one = self.comparer
        self.name, self.fingerprint = one.name, one.fingerprint
        self.pipeline_hash = digest([one.pipeline_hash, "against the reference, both orders"])
        self.reward_dtype, self.ranking_dtype = one.reward_dtype, one.ranking_dtype
        self.batch_invariant = one.batch_invariant
        self.special_tokens, self.device, self.n_parameters = one.special_tokens, one.device, one.n_parameters
        self.flops_per_token = 2 * one.flops_per_token

    @property
    def lost_devices(self) -> tuple[str, ...]:
        return self.comparer.lost_devices

    @property
    def has_gradients(self) -> bool:
        return self.comparer.has_gradients

    def reward(self, pair: Pair) -> float:
        first, second = (self.comparer.reward(one) for one in self._both_orders(pair))
        return (first - second) / 2

    def rewards(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        return self._averaged(pairs, self.comparer.rewards([one for pair in pairs for one in self._both_orders(pair)]))

    def rewards_apart(self, parts: Sequence[Sequence[Pair]]) -> list[npt.NDArray[np.float64]]:
        asked = [[one for pair in part for one in self._both_orders(pair)] for part in parts]
        return [self._averaged(part, of) for part, of in zip(parts, self.comparer.rewards_apart(asked), strict=True)]

    def exact_rewards(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        asked = [one for pair in pairs for one in self._both_orders(pair)]
        return self._averaged(pairs, self.comparer.exact_rewards(asked))

    def _averaged(self, pairs: Sequence[Pair], logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Exactly 0 for the reference: its two comparisons are one text, but batches round it differently."""
        first, second = logits[0::2], logits[1::2]
        is_reference = np.array([pair.response == self.references[pair.prompt] for pair in pairs], dtype=bool)
        return np.where(is_reference & np.isfinite(first), 0.0, (first - second) / 2)

    def _both_orders(self, pair: Pair) -> tuple[Pair, Pair]:
        """The response shown first, and shown second.

        Raises:
            ModelError: the prompt has no reference.
        """
        first, second = self._arranged(pair.prompt)
        return Pair(first, pair.response), Pair(second, pair.response)

    def _arranged(self, prompt: Conversation) -> tuple[Conversation, Conversation]:
        reference = self.references.get(prompt)
        if reference is None:
            raise ModelError(
                f"{self.name} only compares, and {_shown(prompt)} has no reference to beat. {NO_REFERENCE}"
            )
        roles = (RIVAL_SECOND, RIVAL_FIRST)
        first, second = ((*prompt, Message(role=role, content=reference)) for role in roles)
        return first, second

    def n_tokens(self, pair: Pair) -> int:
        return self.lengths([pair])[0]

    def lengths(self, pairs: Sequence[Pair]) -> list[int]:
        """Of the longer comparison: the two differ by a token or so."""
        lengths = self.comparer.lengths([one for pair in pairs for one in self._both_orders(pair)])
        return [max(lengths[at : at + 2]) for at in range(0, len(lengths), 2)]

    def flops(self, n_tokens: int) -> float:
        return 2 * self.comparer.flops(n_tokens)

    def swaps(self, requests: Sequence[SwapRequest]) -> list[SwapTable]:
        return self.comparer.swaps([self._in_both_orders(request) for request in requests])

    def _in_both_orders(self, request: SwapRequest) -> SwapRequest:
        orders = [self._arranged(prompt) for prompt in request.prompts]
        return SwapRequest(
            prompts=tuple(one for both in orders for one in both),
            weights=tuple(part for weight in request.weights for part in (weight / 2, -weight / 2)),
            response=request.response,
            k=request.k,
        )

    def attributions(self, pair: Pair, steps: int) -> tuple[Share, ...]:
        """None where the two orders split the response into other tokens."""
        first, second = (self.comparer.attributions(one, steps) for one in self._both_orders(pair))
        if [(s.start, s.end) for s in first] != [(s.start, s.end) for s in second]:
            return ()
        return tuple(Share(a.start, a.end, (a.value - b.value) / 2) for a, b in zip(first, second, strict=True))

    def relax(self, requests: Sequence[RelaxRequest]) -> list[tuple[str, ...]]:
        """Pulled uphill with the response shown first; what the texts are worth is scored in both orders, as ever."""
        return self.comparer.relax(
            [
                RelaxRequest(
                    pair=self._both_orders(request.pair)[0],
                    steps=request.steps,
                    readouts=request.readouts,
                    learning_rate=request.learning_rate,
                    temperature=request.temperature,
                    seed=request.seed,
                )
                for request in requests
            ]
        )

    def random_swaps(self, pair: Pair, n: int, rng: np.random.Generator) -> tuple[Swap, ...]:
        orders = self._arranged(pair.prompt)
        one = self.comparer
        return EditableText.of(one.pipeline, one.vocabulary, orders, pair.response).draw(n, rng)

    def words(self, n: int, rng: np.random.Generator) -> tuple[str, ...]:
        return self.comparer.words(n, rng)

    def all_tokens(self) -> tuple[str, ...]:
        return self.comparer.all_tokens()


def _shown(prompt: Conversation) -> str:
    return repr(prompt[-1].content[:SHOWN])
