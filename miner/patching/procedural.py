"""Nonsense made by rule from good answers: what a patch can have without any search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from corpus.records import Form, Prompt
from miner.judging.checks.words import joined, units_of
from miner.rewards.base import Pair

FAMILY = "structural"
MIN_WORDS, MAX_WORDS = 8, 40
Maker = Callable[[str, Sequence[str], Random], str]


def nonsense_pairs(
    prompts: Sequence[Prompt], n: int, rng: Random, *, held_out_forms: Sequence[Form]
) -> list[tuple[Pair, Pair]]:
    """``n`` times a prompt's good answer beside nonsense made of the good answers' words, every text a new one; the
    kinds in turn, those of ``held_out_forms`` left out."""
    answered = [prompt for prompt in prompts if prompt.reference is not None and len(units_of(prompt.reference)) > 1]
    makers = [make for make, form in MAKERS.items() if form not in held_out_forms]
    if not answered or not makers:
        return []
    words = sorted({word for prompt in answered for word in units_of(str(prompt.reference))})
    drawn = (rng.choice(answered) for _ in range(n))
    return [
        (
            Pair(prompt.conversation, str(prompt.reference)),
            Pair(prompt.conversation, makers[at % len(makers)](str(prompt.reference), words, rng)),
        )
        for at, prompt in enumerate(drawn)
    ]


def _random_words(_answer: str, words: Sequence[str], rng: Random) -> str:
    return joined(rng.choices(words, k=rng.randint(MIN_WORDS, MAX_WORDS)))


def _shuffled(answer: str, _words: Sequence[str], rng: Random) -> str:
    own = units_of(answer)
    return joined(rng.sample(own, len(own)))


def _repeated(_answer: str, words: Sequence[str], rng: Random) -> str:
    return joined(rng.choices(words, k=rng.randint(1, 3)) * rng.randint(MIN_WORDS // 2, MAX_WORDS // 3))


def _gibberish_within(answer: str, words: Sequence[str], rng: Random) -> str:
    """Twice as many random words as the answer has, somewhere in it."""
    own = units_of(answer)
    at = rng.randrange(len(own) + 1)
    return joined([*own[:at], *rng.choices(words, k=2 * len(own) + 1), *own[at:]])


MAKERS: dict[Maker, Form] = {
    _random_words: "salad",
    _shuffled: "salad",
    _repeated: "repetition",
    _gibberish_within: "salad",
}
FORMS = set(MAKERS.values())
