"""A quality-diversity search: many *kinds* of failure from one attempt.

MAP-Elites (Mouret & Clune 2015, arXiv:1504.04909) with pyribs' archive: one elite per cell of length × repetition ×
fluency. Parents are drawn uniformly over the filled cells; a child is a gradient step of ``gcg``, or a change of words
or a crossing, which alone change length and repetition. The driver keeps every certified text unlike those before it.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from attacks.base import Attack, Goal
from attacks.climb import ValuedText, step
from attacks.gcg import draw_edits
from attacks.mutate import crossover, mutate
from attacks.queries import Likelihoods, Query, Score, Search, Swaps, Words, ask, draw_seed

if TYPE_CHECKING:
    from ribs.archives import GridArchive

MAX_WORDS = 64  # what is longer shares the last cell
MIN_FLUENT = -16.0  # nats per token


@dataclass(frozen=True, kw_only=True)
class Archive(Attack):
    """Starts from ``starts`` texts of random words, of which every third repeats a few; then parents in turn make
    ``width`` children each, half of them by gradient. ``cells`` are those along length, repetition and fluency."""

    name: ClassVar[str] = "archive"
    family: ClassVar[str] = "archive"
    needs = (Swaps, Likelihoods)
    goal: ClassVar[Goal] = "many"
    library: ClassVar[str | None] = "ribs"

    starts: int = 24
    width: int = 16
    k: int = 16
    rank: float = 2.0
    max_words: int = 48
    cells: tuple[int, int, int] = (6, 4, 4)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cells", tuple(self.cells))  # a campaign file brings a list

    def search(self, seed: int) -> Search:
        rng = np.random.default_rng(seed)
        archive = self._empty(seed)
        words = yield from ask(Words(64 * self.starts, seed=draw_seed(rng)))
        texts = tuple(dict.fromkeys(self._start(number, words, rng) for number in range(self.starts)))
        rewards = yield from ask(Score(texts))
        yield from self._keep(archive, list(map(ValuedText, texts, map(float, rewards[:, 0]))))
        by_gradient = True
        while True:
            parent, mate = (str(one) for one in archive.sample_elites(2)["solution"])
            if by_gradient:
                rewards = yield from ask(Score((parent,)))
                table = yield from ask(Swaps(parent, self.k))
                edits = draw_edits(table, self.width, self.rank, rng)
                found = (yield from step(ValuedText(parent, float(rewards[0, 0])), edits)) if edits else []
            else:
                children = (mutate(crossover(parent, mate, rng), words, rng).split() for _ in range(self.width))
                texts = tuple(dict.fromkeys(" ".join(child[: self.max_words]) for child in children))
                rewards = yield from ask(Score(texts))
                found = list(map(ValuedText, texts, map(float, rewards[:, 0])))
            yield from self._keep(archive, found)
            by_gradient = not by_gradient

    def _empty(self, seed: int) -> GridArchive:
        from ribs.archives import GridArchive

        ranges = ((0.0, np.log(MAX_WORDS)), (0.0, 1.0), (MIN_FLUENT, 0.0))
        return GridArchive(solution_dim=(), solution_dtype=np.object_, dims=self.cells, ranges=ranges, seed=seed)

    def _start(self, number: int, words: tuple[str, ...], rng: np.random.Generator) -> str:
        length = int(np.exp(rng.uniform(np.log(4), np.log(self.max_words))))
        few = rng.choice(words, size=max(1, length // 6)) if number % 3 == 0 else words
        return " ".join(rng.choice(few, size=length))

    def _keep(self, archive: GridArchive, found: list[ValuedText]) -> Generator[Query[Any], Any, None]:
        """The cell of each text is told by its length, its repetition and the policy's likelihood."""
        found = [scored for scored in found if np.isfinite(scored.value)]  # what the RM does not take has no reward
        if not found:
            return
        texts = [scored.text for scored in found]
        likelihoods = yield from ask(Likelihoods(tuple(texts)))
        archive.add(np.array(texts, dtype=np.object_), [s.value for s in found], _measures(texts, likelihoods))


def _measures(texts: list[str], likelihoods: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n_texts, 3): log of the number of words, share of words that occurred before, likelihood in nats per token."""
    words = [text.lower().split() for text in texts]
    lengths = [np.log(max(1, len(one))) for one in words]
    repetition = [1 - len(set(one)) / max(1, len(one)) for one in words]
    return np.column_stack([lengths, repetition, np.maximum(likelihoods, MIN_FLUENT)])
