"""Changes of text that need no model: what evolution and archives make children with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def mutate(text: str, words: Sequence[str], rng: np.random.Generator) -> str:
    """One word inserted, deleted, replaced, doubled, or exchanged with another place; new ones are from ``words``."""
    parts = text.split()
    at = int(rng.integers(len(parts)))
    new = words[int(rng.integers(len(words)))]
    match int(rng.integers(5)):
        case 0:
            parts.insert(at, new)
        case 1 if len(parts) > 1:
            del parts[at]
        case 2:
            parts.insert(at, parts[at])
        case 3 if len(parts) > 1:
            other = int(rng.integers(len(parts)))
            parts[at], parts[other] = parts[other], parts[at]
        case _:
            parts[at] = new
    return " ".join(parts)


def crossover(one: str, other: str, rng: np.random.Generator) -> str:
    """The head of one text and the tail of the other, each cut at a place of its own; at least one word."""
    head, tail = one.split(), other.split()
    joined = [*head[: int(rng.integers(len(head) + 1))], *tail[int(rng.integers(len(tail) + 1)) :]]
    return " ".join(joined or head)
