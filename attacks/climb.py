"""Greedy ascent over single-token edits of random words, with restarts: what gradient and random search share."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np

from attacks.queries import Query, Score, Search, Swap, Words, ask

Proposal = Generator[Query[Any], Any, Sequence[Swap]]


def climb(
    rng: np.random.Generator, *, n_words: int, patience: int, propose: Callable[[str, np.random.Generator], Proposal]
) -> Search:
    """Score the edits that ``propose`` yields for the current text and move to the best if it is better.

    After ``patience`` steps without a better text, or when nothing is proposed, start again from other words.
    """
    while True:
        text = " ".join((yield from ask(Words(n_words, seed=draw_seed(rng)))))
        best = float((yield from ask(Score((text,), ("random_words",))))[0, 0])
        stale = 0
        while stale < patience:
            edits = yield from propose(text, rng)
            if not edits:
                break
            candidates = tuple(dict.fromkeys(edit.apply(text) for edit in edits))
            rewards = (yield from ask(Score(candidates)))[:, 0]
            leader = int(rewards.argmax())
            stale += 1
            if rewards[leader] > best:
                text, best, stale = candidates[leader], float(rewards[leader]), 0


def draw_seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))
