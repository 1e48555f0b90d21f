"""Greedy ascent over single-token edits of random words: what gradient and random search share.

An iterated local search (Lourenço, Martin & Stützle 2003): where no edit helps any more, the best text so far is
kicked, a few of its tokens replaced at random, and climbed from again: far cheaper than starting from other words.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np

from attacks.queries import Query, RandomSwaps, Score, Search, Swap, Words, ask

Proposal = Generator[Query[Any], Any, Sequence[Swap]]


def climb(
    rng: np.random.Generator,
    *,
    n_words: int,
    patience: int,
    kicks: int,
    propose: Callable[[str, np.random.Generator], Proposal],
) -> Search:
    """Score the edits that ``propose`` yields for the current text and move to the best of them if it is better.

    After ``patience`` steps without a better text, or when nothing is proposed, ``kicks`` random edits of the best text
    make the next one to climb from.
    """
    text = " ".join((yield from ask(Words(n_words, seed=draw_seed(rng)))))
    reward = float((yield from ask(Score((text,), ("random_words",))))[0, 0])
    best_text, best_reward = text, reward
    while True:
        stale = 0
        while stale < patience:
            edits = yield from propose(text, rng)
            if not edits:
                break
            candidates = tuple(dict.fromkeys(edit.apply(text) for edit in edits))
            rewards = (yield from ask(Score(candidates)))[:, 0]
            leader = int(rewards.argmax())
            stale += 1
            if rewards[leader] > reward:
                text, reward, stale = candidates[leader], float(rewards[leader]), 0
        if reward > best_reward:
            best_text, best_reward = text, reward
        text = apply_all(best_text, (yield from ask(RandomSwaps(best_text, kicks, seed=draw_seed(rng)))))
        reward = float((yield from ask(Score((text,))))[0, 0])


def apply_all(text: str, swaps: Sequence[Swap]) -> str:
    """The text with all swaps applied; of two at one place, the later in the text wins."""
    free = len(text)
    for swap in sorted(swaps, key=lambda swap: -swap.start):
        if swap.end <= free:
            text, free = swap.apply(text), swap.start
    return text


def draw_seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))
