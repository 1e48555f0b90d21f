"""Nonsense made by rule from good answers: what a patch can have without any search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from corpus.records import Form, Prompt
from miner.judging.checks.plants import MIN_WORDS, random_words, repeated, shuffled, vocabulary_of
from miner.judging.checks.words import joined, units_of
from miner.rewards.base import Pair

FAMILY = "structural"
Maker = Callable[[str, Sequence[str], Random], str]


def nonsense_pairs(
    prompts: Sequence[Prompt], n: int, rng: Random, *, held_out_forms: Sequence[Form]
) -> list[tuple[Pair, Pair]]:
    """``n`` times a prompt's good answer beside nonsense made of the good answers' words, every text a new one; the
    kinds in turn, those of ``held_out_forms`` left out. None is made of answers under eight words: a shuffle of those
    may make sense, or be the answer."""
    makers = [make for make, form in MAKERS if form not in held_out_forms]
    if not n or not makers:
        return []
    long = (p for p in prompts if p.reference is not None and len(units_of(p.reference)) >= MIN_WORDS)
    answers = [(prompt.conversation, str(prompt.reference)) for prompt in long]
    vocabulary = vocabulary_of(answer for _, answer in answers)
    drawn = (rng.choice(answers) for _ in range(n if answers else 0))
    return [
        (Pair(conversation, answer), Pair(conversation, makers[at % len(makers)](answer, vocabulary, rng)))
        for at, (conversation, answer) in enumerate(drawn)
    ]


def _gibberish_within(answer: str, vocabulary: Sequence[str], rng: Random) -> str:
    """Twice as many random words as the answer has, somewhere in it."""
    own = units_of(answer)
    at = rng.randrange(len(own) + 1)
    return joined([*own[:at], *rng.choices(vocabulary, k=2 * len(own) + 1), *own[at:]])


MAKERS: tuple[tuple[Maker, Form], ...] = (
    (lambda _answer, vocabulary, rng: random_words(vocabulary, rng), "salad"),
    (lambda answer, _vocabulary, rng: shuffled(answer, rng), "salad"),
    (lambda _answer, vocabulary, rng: repeated(vocabulary, rng), "repetition"),
    (_gibberish_within, "salad"),
)
FORMS = frozenset(form for _, form in MAKERS)
