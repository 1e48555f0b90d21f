"""One text for many prompts: universal triggers (Wallace et al. 2019, arXiv:1908.07125) by coordinate gradient.

What is climbed is the mean lead over the prompts' references, of which no more counts than ``MAX_LEAD`` on any prompt:
beating one reference by far makes up for no other. The gradient is summed over a few prompts at a time, those first
where the text lags; edits are scored on the same few and a step is kept only if it holds on all prompts, as in GCG's
progressive schedule (Zou et al. 2023, arXiv:2307.15043) without its growing set. ``carrier`` frames the trigger, so
that it can be a prefix or suffix of a bad answer.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from attacks.base import Attack, Goal, Range
from attacks.climb import Rewards, ValuedText, apply_all, step
from attacks.gcg import draw_edits
from attacks.queries import (
    QUERIES_PER_GRADIENT,
    NothingToTryError,
    Query,
    RandomSwaps,
    Score,
    Search,
    Swap,
    Swaps,
    SwapTable,
    Tasks,
    Term,
    Words,
    ask,
    draw_seed,
)

MAX_LEAD = 0.5  # that counts on a prompt, in standard deviations of the references' rewards


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
    n_words: int = 40
    width: int = 24
    k: int = 16
    rank: float = 2.0
    patience: int = 4
    perturbations: int = 3
    carrier: str = "{}"

    def __post_init__(self) -> None:
        if self.carrier.count("{}") != 1:
            raise ValueError(
                f"carrier {self.carrier!r} needs one {{}} where the trigger goes, as in 'I do not know. {{}}'"
            )

    @property
    def prompts_per_attempt(self) -> int:
        return self.prompts

    @property
    def min_budget(self) -> int:
        few = min(self.minibatch, self.prompts)
        return 3 * self.prompts + few * (QUERIES_PER_GRADIENT + self.width)

    def search(self, seed: int) -> Search:
        rng = np.random.default_rng(seed)
        bars, spread = yield from self._bars()
        max_lead = MAX_LEAD * spread

        def lead(rewards: Rewards, prompts: tuple[int, ...] = ()) -> Rewards:
            """Mean capped lead of each text: (n_texts, n_prompts) to (n_texts,)."""
            over: Rewards = np.minimum(rewards - (bars[list(prompts)] if prompts else bars), max_lead).mean(axis=1)
            return over

        text = self.carrier.replace("{}", " ".join((yield from ask(Words(self.n_words, seed=draw_seed(rng))))))
        rewards = yield from ask(Score((text,)))  # (1, n_prompts)
        best = current = ValuedText(text, float(lead(rewards)[0]))
        steps_without_gain, edited = 0, False
        while True:
            few = self._hardest(rewards[0] - bars, rng)
            table = yield from ask(Swaps(current.text, self.k, tuple(Term(prompt) for prompt in few)))
            edits = draw_edits(self._inside(current.text, table), self.width, self.rank, rng)
            on_few = ValuedText(current.text, float(lead(rewards[:, list(few)], few)[0]))
            found = (yield from step(on_few, edits, partial(lead, prompts=few), few)) if edits else []
            steps_without_gain += 1
            edited = edited or bool(edits)
            if found and found[0].value > on_few.value:
                everywhere = yield from ask(Score((found[0].text,)))
                if lead(everywhere)[0] > current.value:
                    current, rewards = ValuedText(found[0].text, float(lead(everywhere)[0])), everywhere
                    steps_without_gain = 0
            best = max(best, current, key=lambda scored: scored.value)
            if steps_without_gain == self.patience:
                swaps = yield from ask(RandomSwaps(best.text, self.perturbations, seed=draw_seed(rng)))
                swaps = tuple(swap for swap in swaps if self._is_inside(best.text, swap))
                edited = edited or bool(swaps)
                if not edited:
                    raise NothingToTryError(f"no single-token edit of {best.text!r} survives re-tokenisation")
                text = apply_all(best.text, swaps)
                rewards = yield from ask(Score((text,)))
                current, steps_without_gain = ValuedText(text, float(lead(rewards)[0])), 0

    def _bars(self) -> Generator[Query[Any], Any, tuple[Rewards, float]]:
        """The rewards of the prompts' references, (n_prompts,), their mean where there is none, and their spread.

        Without any reference nothing is enough.
        """
        tasks = yield from ask(Tasks())
        bars = np.full(len(tasks), np.nan)
        for at, task in enumerate(tasks):
            if task.reference:
                bars[at] = (yield from ask(Score((task.reference,), prompts=(at,))))[0, 0]
        known = bars[~np.isnan(bars)]
        if not len(known):
            return np.zeros(len(tasks)), np.inf
        return np.where(np.isnan(bars), known.mean(), bars), float(known.std()) or 1.0

    def _hardest(self, leads: Rewards, rng: np.random.Generator) -> tuple[int, ...]:
        """A few prompts, those of small lead more often."""
        noisy = leads + rng.gumbel(scale=leads.std() + 1e-9, size=len(leads))
        return tuple(sorted(int(i) for i in np.argsort(noisy)[: self.minibatch]))

    def _inside(self, text: str, table: SwapTable) -> SwapTable:
        return tuple(tuple(swap for swap in row if self._is_inside(text, swap)) for row in table)

    def _is_inside(self, text: str, swap: Swap) -> bool:
        head, _, tail = self.carrier.partition("{}")
        return len(head) <= swap.start and swap.end <= len(text) - len(tail)
