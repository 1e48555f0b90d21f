"""Greedy ascent over single-token edits of a text: what gradient and random search share.

An iterated local search (Lourenço, Martin & Stützle 2003). A step scores single edits and then the best of them merged,
so that one gradient can move many tokens. Where no edit helps any more, the best text so far is perturbed, a few of
its tokens replaced at random, and climbed from again: far cheaper than starting from other words.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from attacks.queries import NothingToTryError, Query, RandomSwaps, Score, Search, Swap, Words, ask, draw_seed

Rewards = npt.NDArray[np.float64]
Proposal = Generator[Query[Any], Any, Sequence[Swap]]
Start = Generator[Query[Any], Any, "ValuedText"]
Objective = Callable[[Rewards], Rewards]  # rewards (n_texts, n_prompts) to one value a text


@dataclass(frozen=True, slots=True)
class ValuedText:
    """A text and what it is worth to the search: its reward, or an objective over its rewards."""

    text: str
    value: float


def first_prompt(rewards: Rewards) -> Rewards:
    """The objective of a search on one prompt."""
    return rewards[:, 0]


def random_words(n: int, rng: np.random.Generator) -> Start:
    """``n`` words drawn at random."""
    text = " ".join((yield from ask(Words(n, seed=draw_seed(rng)))))
    rewards = yield from ask(Score((text,), ("random_words",)))
    return ValuedText(text, float(rewards[0, 0]))


def best_of(texts: tuple[str, ...]) -> Start:
    """The text that is rewarded most."""
    rewards = yield from ask(Score(texts))
    return max(map(ValuedText, texts, map(float, rewards[:, 0])), key=lambda scored: scored.value)


def climb(
    rng: np.random.Generator,
    *,
    start: Start,
    patience: int,
    perturbations: int,
    propose: Callable[[str, np.random.Generator], Proposal],
) -> Search:
    """From the ``start``, step by step, each from the edits that ``propose`` yields for the current text.

    After ``patience`` steps without a better text, or when nothing is proposed, ``perturbations`` random edits of the
    best text make the next one to climb from. Ends where no edit of the best text is to be had at all.

    Raises:
        NothingToTryError: there was none of the start either, so that nothing was searched.
    """
    best = current = yield from start
    edited = False
    while True:
        steps_without_gain = 0
        while steps_without_gain < patience:
            edits = yield from propose(current.text, rng)
            if not edits:
                break
            edited = True
            (found, *_) = yield from step(current, edits)
            if found.value > current.value:
                current, steps_without_gain = found, 0
            else:
                steps_without_gain += 1
        best = max(best, current, key=lambda scored: scored.value)
        swaps = yield from ask(RandomSwaps(best.text, perturbations, seed=draw_seed(rng)))
        if not swaps and not edited:
            raise NothingToTryError(f"no single-token edit of {best.text!r} survives re-tokenisation")
        if not swaps:
            return
        edited, text = True, apply_all(best.text, swaps)
        current = ValuedText(text, float((yield from ask(Score((text,))))[0, 0]))


def step(
    current: ValuedText, edits: Sequence[Swap], objective: Objective = first_prompt, prompts: tuple[int, ...] = ()
) -> Generator[Query[Any], Any, list[ValuedText]]:
    """What ``edits`` give, best first: each alone, and those that helped merged, all of them and the better half.

    Edits that help alone mostly help together (their gains add up where they do not touch), and a merge costs one query
    where finding it edit by edit would cost a step each.
    """
    by_text = {edit.apply(current.text): edit for edit in edits}
    values = objective((yield from ask(Score(tuple(by_text), prompts=prompts))))
    found = sorted(map(ValuedText, by_text, map(float, values)), key=lambda scored: -scored.value)
    helpful: dict[int, Swap] = {}
    for scored in found:
        if scored.value > current.value:
            helpful.setdefault(by_text[scored.text].start, by_text[scored.text])  # the best of each place
    chosen = list(helpful.values())
    merged = {apply_all(current.text, chosen[:n]) for n in ((len(chosen) + 1) // 2, len(chosen)) if n > 1}
    fresh = tuple(sorted(merged - set(by_text)))
    if fresh:
        values = objective((yield from ask(Score(fresh, prompts=prompts))))
        found = sorted([*found, *map(ValuedText, fresh, map(float, values))], key=lambda scored: -scored.value)
    return found


def apply_all(text: str, swaps: Sequence[Swap]) -> str:
    """The text with all swaps applied; of two at one place, the later in the text wins."""
    free = len(text)
    for swap in sorted(swaps, key=lambda swap: -swap.start):
        if swap.end <= free:
            text, free = swap.apply(text), swap.start
    return text
