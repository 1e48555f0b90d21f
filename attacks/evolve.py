"""An evolutionary search for texts that are rewarded and, if possible, fluent.

Selection by non-domination is NSGA-II's (Deb et al. 2002) over reward and the policy's likelihood; within the last
front that fits, the higher reward survives instead of the less crowded, since only reward makes a finding. Works on
words of any length of text and sees no gradient. Mates come from other prompts' findings, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from attacks.base import Attack
from attacks.mutate import crossover, mutate
from attacks.queries import Likelihoods, Score, Search, Seeds, Words, ask, draw_seed


@dataclass(frozen=True, kw_only=True)
class Evolve(Attack):
    """``population`` texts of about ``n_words``, random but for up to a half from the corpus; as many children a
    generation, each by ``crossing`` chance of two parents, then mutated, of at most ``max_words``."""

    name: ClassVar[str] = "evolve"
    family: ClassVar[str] = "evolution"
    needs = (Likelihoods, Seeds)

    population: int = 24
    n_words: int = 14
    max_words: int = 60
    crossing: float = 0.5

    def search(self, seed: int) -> Search:
        rng = np.random.default_rng(seed)
        words = yield from ask(Words(64 * self.population, seed=draw_seed(rng)))
        seeds = yield from ask(Seeds(self.population // 2))
        random_texts = [" ".join(rng.choice(words, size=self.n_words)) for _ in range(self.population - len(seeds))]
        fresh = tuple(dict.fromkeys([*seeds, *random_texts]))
        seen: set[str] = set()
        texts: list[str] = []
        marks = np.empty((0, 2))
        while True:
            seen.update(fresh)
            rewards = yield from ask(Score(fresh))
            likelihoods = yield from ask(Likelihoods(fresh))
            texts = [*texts, *fresh]
            marks = np.vstack([marks, np.column_stack([rewards[:, 0], likelihoods])])
            kept = survivors(marks, self.population)
            texts, marks = [texts[i] for i in kept], marks[kept]
            fresh = self._children(texts, words, seen, rng)

    def _children(
        self, texts: list[str], words: tuple[str, ...], seen: set[str], rng: np.random.Generator
    ) -> tuple[str, ...]:
        """As many new texts as there are parents; parents are drawn by rank, the best reward first."""
        children: dict[str, None] = {}
        while len(children) < self.population:
            first, second = (texts[min(len(texts) - 1, int(rng.exponential(len(texts) / 4)))] for _ in range(2))
            child = crossover(first, second, rng) if rng.random() < self.crossing else first
            child = " ".join(mutate(child, words, rng).split()[: self.max_words])
            if child not in seen:
                children[child] = None
        return tuple(children)


def survivors(marks: npt.NDArray[np.float64], n: int) -> list[int]:
    """Indices of ``n`` rows of (reward, likelihood), front after front, in order of falling reward."""
    left = list(range(len(marks)))
    kept: list[int] = []
    while left and len(kept) < n:
        front = [i for i in left if not any(_dominates(marks[j], marks[i]) for j in left)]
        kept += sorted(front, key=lambda i: -marks[i, 0])[: n - len(kept)]
        left = [i for i in left if i not in front]
    return sorted(kept, key=lambda i: -marks[i, 0])


def _dominates(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> bool:
    return bool((one >= other).all() and (one > other).any())
