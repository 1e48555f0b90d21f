"""What an attack may ask, and what it is told.

An attack never sees a model, a tokenizer or its budget: it yields one of these queries and is sent the answer. Texts
are plain strings; an edit is a character span and the string to put there, so no token id crosses this boundary.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt

AnswerT_co = TypeVar("AnswerT_co", covariant=True)


class Query(Generic[AnswerT_co]):
    """Base of all queries; the parameter is the type of the answer."""


class GradientQuery(Query[AnswerT_co]):
    """What only an RM with token gradients can answer about ``text``; at three queries for each of ``n_gradients``."""

    text: str

    @property
    @abstractmethod
    def n_gradients(self) -> int: ...


class PolicyQuery(Query[AnswerT_co]):
    """What only a campaign with a policy can answer. Costs policy tokens, which are counted, but no queries."""


Search = Generator[Query[Any], Any, None]


class NothingToTryError(Exception):
    """A search that could try nothing: it says nothing of the RM, and is kept as an error."""


Construction = Literal["repeated_token", "random_words", "shuffled_words", "gibberish"]
"""What cannot be sense, whoever reads it: one token over and over, words drawn at random, at least eight words of an
answer shuffled, mostly gibberish. An attack claims it for a text that it built so and left so."""


QUERIES_PER_GRADIENT = 3


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
class Share:
    """What the token ``text[start:end]`` adds to the reward, in its units."""

    start: int
    end: int
    value: float


@dataclass(frozen=True, slots=True)
class Task:
    """What an attempt's prompt says: its last user turn, and a known good answer where there is one."""

    question: str
    reference: str | None


@dataclass(frozen=True, slots=True)
class Score(Query[npt.NDArray[np.float64]]):
    """Rewards of ``texts`` on the attempt's prompts: shape (n_texts, n_prompts). Costs that many queries.

    ``constructions`` claims per text what its making alone rules out as sense; empty claims nothing. ``prompts`` are
    indices into the attempt's prompt set, empty for all of it.
    """

    texts: tuple[str, ...]
    constructions: tuple[Construction | None, ...] = ()
    prompts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Swaps(GradientQuery[SwapTable]):
    """The ``k`` single-token replacements per position that the gradient promises most for, of those that survive
    decode → encode in context."""

    text: str
    k: int
    terms: tuple[Term, ...] = (Term(),)

    @property
    def n_gradients(self) -> int:
        return len(self.terms)


@dataclass(frozen=True, slots=True)
class SurrogateSwaps(GradientQuery[SwapTable]):
    """As :class:`Swaps`, by the gradient of the RM as it was given, before any patch."""

    text: str
    k: int

    @property
    def n_gradients(self) -> int:
        return 1


@dataclass(frozen=True, slots=True)
class Attribute(GradientQuery[tuple[Share, ...]]):
    """What each token of ``text`` adds to its reward on the attempt's first prompt, by integrated gradients with
    ``steps`` steps. Empty where the RM's pipeline does not say where the response's tokens are."""

    text: str
    steps: int

    @property
    def n_gradients(self) -> int:
        return self.steps


@dataclass(frozen=True, slots=True)
class Relax(GradientQuery[tuple[str, ...]]):
    """Texts read off soft tokens that ``steps`` gradient steps pull uphill, at ``readouts`` points on their way.

    Every token of ``text`` becomes a distribution over words, drawn with Gumbel noise at ``temperature``.
    """

    text: str
    steps: int
    readouts: int
    learning_rate: float
    temperature: float
    seed: int

    @property
    def n_gradients(self) -> int:
        return self.steps


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
class Answers(Query[tuple[str, ...]]):
    """Up to ``n`` good answers to *other* prompts of the same split. Free."""

    n: int
    seed: int


@dataclass(frozen=True, slots=True)
class Seeds(Query[tuple[str, ...]]):
    """Up to ``n`` findings on *other* prompts, of this round and older ones, no two alike, highest margin first.

    The pool is fixed when a stage begins; it holds no finding of a held-out prompt. Free.
    """

    n: int


@dataclass(frozen=True, slots=True)
class Carried(Query[tuple[str, ...]]):
    """Texts that won against earlier rounds' RMs, on this very prompt where there are some, carried along from the old
    RM to this one, furthest first. What carrying them took is booked as the attempt's own queries."""


@dataclass(frozen=True, slots=True)
class Sample(PolicyQuery[tuple[Continuation, ...]]):
    """``n`` policy continuations of the attempt's first prompt."""

    n: int
    seed: int


@dataclass(frozen=True, slots=True)
class NextTokens(PolicyQuery[tuple[tuple[Continuation, ...], ...]]):
    """Per prefix of a response to the attempt's first prompt, the policy's ``k`` likeliest next tokens, best first.

    A continuation is the prefix with that token; its ``log_probability`` is that token's.
    """

    prefixes: tuple[str, ...]
    k: int


@dataclass(frozen=True, slots=True)
class Likelihoods(PolicyQuery[npt.NDArray[np.float64]]):
    """Mean log-probability per token of each text under the policy, no prompt before it: shape (n_texts,)."""

    texts: tuple[str, ...]


def ask(query: Query[AnswerT_co]) -> Generator[Query[Any], Any, AnswerT_co]:
    """``answer = yield from ask(query)``, typed."""
    answer: AnswerT_co = yield query
    return answer


def draw_seed(rng: np.random.Generator) -> int:
    """The ``seed`` of a query, from the search's own generator."""
    return int(rng.integers(2**31))
