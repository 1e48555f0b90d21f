"""Self-transfer: older findings on other prompts, tried as they are, then bent to this one.

Transfer of adversarial texts across inputs is as old as universal triggers (Wallace et al. 2019, arXiv:1908.07125);
reusing an attack's own successes as starts is the self-transfer of Andriushchenko et al. 2024 (arXiv:2404.02151). What
is added: the best start is bent by random edits and by crossing with the next best, black-box throughout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from attacks.base import Attack, Range
from attacks.climb import ValuedText, step
from attacks.mutate import crossover
from attacks.queries import RandomSwaps, Score, Search, Seeds, ask, draw_seed


@dataclass(frozen=True, kw_only=True)
class Transfer(Attack):
    """Up to ``n`` seeds, ``batch`` at a time; then the ``elite`` best are bent in turn, each step by ``width`` random
    edits and ``crossings`` children. Without seeds there is nothing to try."""

    name: ClassVar[str] = "transfer"
    family: ClassVar[str] = "transfer"
    needs = (Seeds,)
    space: ClassVar[Mapping[str, Range]] = {
        "n": Range(8, 256, log=True),
        "elite": Range(1, 16, log=True),
        "width": Range(4, 64, log=True),
        "crossings": Range(0, 32),
    }

    n: int = 64
    batch: int = 16
    elite: int = 4
    width: int = 12
    crossings: int = 4

    def search(self, seed: int) -> Search:
        rng = np.random.default_rng(seed)
        seeds = yield from ask(Seeds(self.n))
        pool: list[ValuedText] = []
        for start in range(0, len(seeds), self.batch):
            part = seeds[start : start + self.batch]
            rewards = yield from ask(Score(part))
            pool += map(ValuedText, part, map(float, rewards[:, 0]))
        pool = sorted(pool, key=lambda scored: -scored.value)[: self.elite]
        tried = True
        while pool and tried:
            tried = False
            for at, here in enumerate(pool):
                edits = yield from ask(RandomSwaps(here.text, self.width, seed=draw_seed(rng)))
                found = (yield from step(here, edits)) if edits else []
                tried = tried or bool(edits) or self.crossings > 0
                mates = [pool[int(rng.integers(len(pool)))] for _ in range(self.crossings)]
                children = tuple(dict.fromkeys(crossover(here.text, mate.text, rng) for mate in mates))
                if children:
                    rewards = yield from ask(Score(children))
                    found += map(ValuedText, children, map(float, rewards[:, 0]))
                pool[at] = max([here, *found], key=lambda scored: scored.value)
