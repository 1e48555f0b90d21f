"""The contract of reward models can be broken, and then it is said how."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from attacks import Swap
from miner.rewards.base import Pair, TokenAttribution
from miner.testing import ToyRewardModel, reward_model_violations, toy_prompts

PROMPT = toy_prompts(1)[0].conversation
WORDS = ToyRewardModel().vocabulary
PAIRS = [Pair(PROMPT, " ".join(WORDS[at : at + length])) for at, length in ((0, 3), (10, 5), (20, 8), (40, 4))]


class CompanyMatters(ToyRewardModel):
    def rewards(self, pairs: Sequence[Pair]) -> Any:
        return super().rewards(pairs) + 0.01 * (len(pairs) > len(PAIRS))


class OrderMatters(ToyRewardModel):
    def rewards(self, pairs: Sequence[Pair]) -> Any:
        return super().rewards(pairs) + 0.01 * np.arange(len(pairs))


class OtherWhenExact(ToyRewardModel):
    def exact_rewards(self, pairs: Sequence[Pair]) -> Any:
        return super().exact_rewards(pairs) + 0.01


class Constant(ToyRewardModel):
    def reward(self, pair: Pair) -> float:
        del pair
        return 1.0


class NotANumber(ToyRewardModel):
    def reward(self, pair: Pair) -> float:
        del pair
        return float("nan")


class Nameless(ToyRewardModel):
    name = ""


class Forgetful(ToyRewardModel):
    """Another reward every time."""

    def reward(self, pair: Pair) -> float:
        self.seed += 1
        return super().reward(pair) + 0.01 * self.seed


class OtherLengths(ToyRewardModel):
    def lengths(self, pairs: Sequence[Pair]) -> list[int]:
        return [1 + self.n_tokens(pair) for pair in pairs]


class CheaperWhenLonger(ToyRewardModel):
    def flops(self, n_tokens: int) -> float:
        return 1.0 / n_tokens


class OwnDice(ToyRewardModel):
    """Draws without the generator that it is given."""

    dice = np.random.default_rng(1)

    def random_swaps(self, pair: Pair, n: int, rng: np.random.Generator) -> tuple[Swap, ...]:
        del rng
        return super().random_swaps(pair, n, self.dice)


class OutsideTheText(ToyRewardModel):
    def random_swaps(self, pair: Pair, n: int, rng: np.random.Generator) -> tuple[Swap, ...]:
        del n, rng
        return (Swap(0, len(pair.response) + 1, "x"),)


class SpecialWords(ToyRewardModel):
    special_tokens = ("ba",)


class TokensTwice(ToyRewardModel):
    def all_tokens(self) -> tuple[str, ...]:
        return (*self.vocabulary, self.vocabulary[0])


class SaysItHasNone(ToyRewardModel):
    has_gradients = False


class DoesNotAddUp(ToyRewardModel):
    def attribution(self, pair: Pair, steps: int) -> TokenAttribution:
        found = super().attribution(pair, steps)
        return TokenAttribution(
            spans=found.spans, values=found.values, reward=found.reward, rise=found.rise + 1, completeness_error=0.0
        )


class FlatLatents(ToyRewardModel):
    def latents(self, pairs: Sequence[Pair]) -> Any:
        return np.zeros(len(pairs))


FAULTS = {
    CompanyMatters: "in other company",
    OrderMatters: "in other order",
    OtherWhenExact: "exact, rewards differ",
    Constant: "too close together",
    NotANumber: "not finite",
    Nameless: "name is no text",
    Forgetful: "again, rewards differ",
    OtherLengths: "not those of each text alone",
    CheaperWhenLonger: "costs less",
    OwnDice: "draws other replacements",
    OutsideTheText: "outside the text",
    SpecialWords: "special token",
    TokensTwice: "some twice",
    SaysItHasNone: "swaps is answered",
    DoesNotAddUp: "do not add up",
    FlatLatents: "latents are of shape",
}


def test_the_toy_keeps_the_contract() -> None:
    assert reward_model_violations(ToyRewardModel(), PAIRS) == []


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.__name__)
def test_a_broken_promise_is_named(kind: type[ToyRewardModel]) -> None:
    assert any(FAULTS[kind] in broken for broken in reward_model_violations(kind(), PAIRS))
