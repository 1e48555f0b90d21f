"""Soft tokens: Gumbel-softmax relaxation (Guo et al. 2021, GBDA, arXiv:2104.13733), read off and scored as text.

The relaxation itself is the adapter's; here it is a start, and a baseline that shows how much of a soft reward survives
being written down. No fluency or similarity penalty: a finding has to be nonsense, not a paraphrase.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from attacks.base import Attack, Range
from attacks.climb import ValuedText
from attacks.queries import QUERIES_PER_GRADIENT, Relax, Score, Search, Words, ask, draw_seed


@dataclass(frozen=True, kw_only=True)
class Relaxation(Attack):
    """Runs of ``steps`` from ``n_words`` random words, or from the best text so far where the last run improved it;
    ``readouts`` texts of each are scored."""

    name: ClassVar[str] = "relax"
    family: ClassVar[str] = "relaxation"
    needs = (Relax,)
    space: ClassVar[Mapping[str, Range]] = {
        "n_words": Range(6, 40, log=True),
        "steps": Range(4, 64, log=True),
        "readouts": Range(1, 8),
        "learning_rate": Range(0.05, 5, log=True),
        "temperature": Range(0.1, 4, log=True),
    }

    n_words: int = 14
    steps: int = 32
    readouts: int = 4
    learning_rate: float = 3.0
    temperature: float = 0.5

    @property
    def min_budget(self) -> int:
        return QUERIES_PER_GRADIENT * self.steps + self.readouts + 1

    def search(self, seed: int) -> Search:
        rng = np.random.default_rng(seed)
        best: ValuedText | None = None
        while True:
            start = best.text if best else " ".join((yield from ask(Words(self.n_words, seed=draw_seed(rng)))))
            query = Relax(start, self.steps, self.readouts, self.learning_rate, self.temperature, draw_seed(rng))
            texts = tuple(dict.fromkeys((start, *(yield from ask(query)))))
            rewards = yield from ask(Score(texts))
            found = max(map(ValuedText, texts, map(float, rewards[:, 0])), key=lambda scored: scored.value)
            best = None if best and found.text == best.text else found
