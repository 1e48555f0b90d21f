"""Reward-guided decoding: a beam over the policy's likeliest tokens, each prefix scored by the RM.

After reward-guided search (Khanov et al. 2024, ARGS, arXiv:2402.01694), which REFORM (2025, arXiv:2507.06419) turns
into an attack: the text stays fluent because the policy proposes every token. Each prefix is a response of its own, so
that a finding may be shorter than the beam; noise on the beam's choice makes another start of every pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from attacks.base import Attack, Range
from attacks.queries import NextTokens, Score, Search, ask


@dataclass(frozen=True, kw_only=True)
class Guided(Attack):
    """``beam`` prefixes, ``k`` next tokens of each, up to ``max_tokens``; kept are those of highest reward plus
    ``fluency`` times the mean log-probability of their tokens, and noise of scale ``noise`` from the second pass on."""

    name: ClassVar[str] = "guided"
    family: ClassVar[str] = "decoding"
    needs = (NextTokens,)
    space: ClassVar[Mapping[str, Range]] = {
        "beam": Range(1, 16, log=True),
        "k": Range(2, 64, log=True),
        "max_tokens": Range(8, 64, log=True),
        "fluency": Range(0.01, 2, log=True),
        "noise": Range(0.01, 2, log=True),
    }

    beam: int = 3
    k: int = 12
    max_tokens: int = 32
    fluency: float = 0.1
    noise: float = 0.5

    def search(self, seed: int) -> Search:
        rng = np.random.default_rng(seed)
        rewards_of: dict[str, float] = {}
        noise = 0.0
        while True:
            known = len(rewards_of)
            beam = {"": 0.0}  # prefix to the sum of its tokens' log-probabilities
            for length in range(1, self.max_tokens + 1):
                rows = yield from ask(NextTokens(tuple(beam), self.k))
                longer = {
                    one.text: total + one.log_probability
                    for total, row in zip(beam.values(), rows, strict=True)
                    for one in row
                }
                fresh = tuple(text for text in longer if text not in rewards_of)
                if fresh:
                    rewards_of |= zip(fresh, map(float, (yield from ask(Score(fresh)))[:, 0]), strict=True)
                if not longer:
                    break
                worth = {
                    text: rewards_of[text] + self.fluency * total / length + noise * rng.gumbel()
                    for text, total in longer.items()
                }
                beam = {text: longer[text] for text in sorted(worth, key=lambda t: -worth[t])[: self.beam]}
            if len(rewards_of) == known:
                return  # a whole pass without a new text
            noise = self.noise
