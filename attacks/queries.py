"""What an attack may ask, and what it is told.

An attack never sees a model, a tokenizer or its budget: it yields one of these queries and is sent the answer. Texts
are plain strings; an edit is a character span and the string to put there, so no token id crosses this boundary.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt

AnswerT_co = TypeVar("AnswerT_co", covariant=True)


class Query(Generic[AnswerT_co]):
    """Base of all queries; the parameter is the type of the answer."""


Search = Generator[Query[Any], Any, None]

Construction = Literal["repeated_token", "random_words", "shuffled_words", "gibberish"]
"""What cannot be sense, whoever reads it: one token over and over, words drawn at random, at least eight words of an
answer shuffled, mostly gibberish. An attack claims it for a text that it built so and left so."""


@dataclass(frozen=True, slots=True)
class Swap:
    """Replace ``text[start:end]`` by ``replacement``; ``gain`` is the predicted change in reward, 0.0 for none."""

    start: int
    end: int
    replacement: str
    gain: float = 0.0

    def apply(self, text: str) -> str:
        return text[: self.start] + self.replacement + text[self.end :]


SwapTable = tuple[tuple[Swap, ...], ...]
"""Swaps by token position of the text, best gain first; a position without any is an empty tuple."""


@dataclass(frozen=True, slots=True)
class Term:
    """One summand of a gradient: the prompt's index in the attempt's prompt set, and its weight."""

    prompt: int = 0
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Continuation:
    """One sampled continuation; ``log_probability`` sums over its tokens, in nats, at the sampling temperature."""

    text: str
    log_probability: float


@dataclass(frozen=True, slots=True)
class Task:
    """What an attempt's prompt says: its last user turn, and a known good answer where there is one."""

    question: str
    reference: str | None


@dataclass(frozen=True, slots=True)
class Score(Query[npt.NDArray[np.float64]]):
    """Rewards of ``texts`` on every prompt of the attempt: shape (n_texts, n_prompts). Costs that many queries.

    ``constructions`` claims per text what its making alone rules out as sense; empty claims nothing.
    """

    texts: tuple[str, ...]
    constructions: tuple[Construction | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Swaps(Query[SwapTable]):
    """The ``k`` single-token replacements per position that the gradient promises most for, of those that survive
    decode → encode in context. Costs three queries per term."""

    text: str
    k: int
    terms: tuple[Term, ...] = (Term(),)


@dataclass(frozen=True, slots=True)
class RandomSwaps(Query[tuple[Swap, ...]]):
    """``n`` single-token replacements, position and token uniform over the same candidates as :class:`Swaps`. Free."""

    text: str
    n: int
    seed: int


@dataclass(frozen=True, slots=True)
class Tasks(Query[tuple[Task, ...]]):
    """What the attempt's prompts say, in their order. Free."""


@dataclass(frozen=True, slots=True)
class Words(Query[tuple[str, ...]]):
    """``n`` whole words drawn uniformly from the allowed vocabulary. Free."""

    n: int
    seed: int


@dataclass(frozen=True, slots=True)
class AllTokens(Query[tuple[str, ...]]):
    """Every allowed vocabulary entry that stands alone as a response, in vocabulary order. Free."""


@dataclass(frozen=True, slots=True)
class Sample(Query[tuple[Continuation, ...]]):
    """``n`` policy continuations of the attempt's first prompt. Costs tokens, which are counted, but no queries."""

    n: int
    seed: int


@dataclass(frozen=True, slots=True)
class Seeds(Query[tuple[str, ...]]):
    """Up to ``n`` good answers to *other* prompts of the same split. Free."""

    n: int
    seed: int


def ask(query: Query[AnswerT_co]) -> Generator[Query[Any], Any, AnswerT_co]:
    """``answer = yield from ask(query)``, typed."""
    answer: AnswerT_co = yield query
    return answer
