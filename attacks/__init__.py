"""Search algorithms for responses that a reward model scores too high. They see no model and import no torch."""

from attacks.base import Attack, Range
from attacks.queries import (
    AllTokens,
    Construction,
    Continuation,
    Query,
    RandomSwaps,
    Sample,
    Score,
    Search,
    Seeds,
    Swap,
    Swaps,
    SwapTable,
    Task,
    Tasks,
    Term,
    Words,
    ask,
)
from attacks.registry import known_attacks

__all__ = [
    "AllTokens",
    "Attack",
    "Construction",
    "Continuation",
    "Query",
    "RandomSwaps",
    "Range",
    "Sample",
    "Score",
    "Search",
    "Seeds",
    "Swap",
    "SwapTable",
    "Swaps",
    "Task",
    "Tasks",
    "Term",
    "Words",
    "ask",
    "known_attacks",
]
