"""The bar: one clean text that is too long costs itself, and is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from miner.errors import ConfigError, TooLongError
from miner.judging.criteria import clean_criteria
from miner.rewards.base import Pair
from miner.testing import ToyRewardModel, toy_prompts


class ShortToy(ToyRewardModel):
    """Takes six words."""

    def rewards(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        self.lengths(pairs)
        return super().rewards(pairs)

    def n_tokens(self, pair: Pair) -> int:
        if len(pair.response.split(" ")) > 6:
            raise TooLongError("too long")
        return super().n_tokens(pair)


def test_an_over_long_reference_costs_itself_and_is_counted() -> None:
    toy = ShortToy()
    words = toy.vocabulary
    prompts = [replace(one, reference=words[n % len(words)]) for n, one in enumerate(toy_prompts(40))]
    plain = clean_criteria(toy, prompts, quantile=0.95)
    long = replace(prompts[0], reference=" ".join(words[:7]), group_key="long")
    criteria = clean_criteria(toy, [*prompts, long], quantile=0.95)
    assert (criteria.n, criteria.left_out, plain.left_out) == (40, 1, 0)
    assert criteria.threshold == plain.threshold


def test_too_few_that_are_short_enough_are_told_with_those_that_are_not() -> None:
    toy = ShortToy()
    prompts = [replace(one, reference=" ".join(toy.vocabulary[:7])) for one in toy_prompts(30)]
    with pytest.raises(ConfigError, match=r"\(30 more are left out: 30 too long for it\)"):
        clean_criteria(toy, prompts, quantile=0.95)
