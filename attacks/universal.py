"""One text for many prompts: universal triggers (Wallace et al. 2019, arXiv:1908.07125) by coordinate gradient.

The gradient is summed over a few prompts at a time, those first on which the text does worst, so that no prompt is
given up; edits are scored on the same few and a step is kept only if it holds on all prompts, as in GCG's progressive
schedule (Zou et al. 2023, arXiv:2307.15043) without its growing set. ``carrier`` frames the trigger, so that it can be
a prefix or suffix of a bad answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from attacks.base import Attack, Goal, Range
from attacks.climb import Rewards, Scored, apply_all, draw_seed, step
from attacks.gcg import draw_edits
from attacks.queries import RandomSwaps, Score, Search, Swap, Swaps, SwapTable, Term, Words, ask


@dataclass(frozen=True, kw_only=True)
class Universal(Attack):
    """``prompts`` prompts together; ``minibatch`` of them a step. The rest as ``gcg``.

    ``carrier`` is a text with ``{}`` where the trigger goes; only the trigger is edited.
    """

    name: ClassVar[str] = "universal"
    family: ClassVar[str] = "universal"
    needs = (Swaps,)
    goal: ClassVar[Goal] = "together"
    space: ClassVar[Mapping[str, Range]] = {
        "n_words": Range(6, 60, log=True),
        "minibatch": Range(1, 16, log=True),
        "width": Range(6, 96, log=True),
        "k": Range(2, 64, log=True),
        "rank": Range(0.5, 16, log=True),
    }

    prompts: int = 16
    minibatch: int = 4
    n_words: int = 20
    width: int = 24
    k: int = 16
    rank: float = 2.0
    patience: int = 4
    kicks: int = 3
    carrier: str = "{}"

    @property
    def prompts_per_attempt(self) -> int:
        return self.prompts

    def search(self, seed: int) -> Search:
        rng = np.random.default_rng(seed)
        text = self.carrier.replace("{}", " ".join((yield from ask(Words(self.n_words, seed=draw_seed(rng))))))
        rewards = (yield from ask(Score((text,))))[0]  # (n_prompts,)
        best = here = Scored(text, float(rewards.mean()))
        stale = 0
        while True:
            few = self._hardest(rewards, rng)
            terms = tuple(Term(prompt) for prompt in few)
            table = yield from ask(Swaps(here.text, self.k, terms))
            edits = draw_edits(self._inside(here.text, table), self.width, self.rank, rng)
            on_few = Scored(here.text, float(rewards[list(few)].mean()))
            found = (yield from step(on_few, edits, _mean, few)) if edits else []
            stale += 1
            if found and found[0].value > on_few.value:
                everywhere = (yield from ask(Score((found[0].text,))))[0]
                if everywhere.mean() > here.value:
                    here, rewards, stale = Scored(found[0].text, float(everywhere.mean())), everywhere, 0
            best = max(best, here, key=lambda scored: scored.value)
            if stale == self.patience:
                swaps = yield from ask(RandomSwaps(best.text, self.kicks, seed=draw_seed(rng)))
                text = apply_all(best.text, [swap for swap in swaps if self._is_inside(best.text, swap)])
                rewards = (yield from ask(Score((text,))))[0]
                here, stale = Scored(text, float(rewards.mean())), 0

    def _hardest(self, rewards: Rewards, rng: np.random.Generator) -> tuple[int, ...]:
        """A few prompts, those of low reward more often."""
        noisy = rewards + rng.gumbel(scale=rewards.std() + 1e-9, size=len(rewards))
        return tuple(sorted(int(i) for i in np.argsort(noisy)[: self.minibatch]))

    def _inside(self, text: str, table: SwapTable) -> SwapTable:
        return tuple(tuple(swap for swap in row if self._is_inside(text, swap)) for row in table)

    def _is_inside(self, text: str, swap: Swap) -> bool:
        head, _, tail = self.carrier.partition("{}")
        return len(head) <= swap.start and swap.end <= len(text) - len(tail)


def _mean(rewards: Rewards) -> Rewards:
    means: Rewards = rewards.mean(axis=1)
    return means
