"""Nonsense made on purpose, to measure how much of it the checks catch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from random import Random

from miner.errors import DataError
from miner.judging.checks.base import Subject
from miner.judging.checks.words import joined, units_of

MIN_WORDS, MAX_WORDS = 8, 40
PUNCTUATION = ".,;:!?()'\"，。、；：！？（）「」“”"
KINDS = ("random_words", "shuffled_words", "repeated_tokens")


def plant(clean: Sequence[Subject], *, per_kind: int, seed: int = 0) -> dict[str, tuple[Subject, ...]]:
    """``per_kind`` subjects of each kind in ``KINDS``, with prompts and references drawn from ``clean``.

    Their construction is not claimed: the checks have to see it. Lengths are 8 to 40 words.

    Raises:
        DataError: no clean text has eight words to shuffle.
    """
    rng = Random(f"plants|{seed}")
    vocabulary = vocabulary_of(s.response for s in clean)
    long = [s for s in clean if len(units_of(s.response)) >= MIN_WORDS]
    if not long:
        raise DataError(f"none of {len(clean)} clean texts has {MIN_WORDS} words to shuffle. Give longer text")
    return {
        "random_words": tuple(_with(rng.choice(clean), random_words(vocabulary, rng)) for _ in range(per_kind)),
        "shuffled_words": tuple(_with(s, shuffled(s.response, rng)) for s in _draw(long, per_kind, rng)),
        "repeated_tokens": tuple(_with(rng.choice(clean), repeated(vocabulary, rng)) for _ in range(per_kind)),
    }


def vocabulary_of(texts: Iterable[str]) -> list[str]:
    """The words of the texts without the punctuation around them, in order."""
    return sorted({word.strip(PUNCTUATION) for text in texts for word in units_of(text)} - {""})


def _with(subject: Subject, text: str) -> Subject:
    return replace(subject, response=text, construction=None, sampled_by=None)


def _draw(subjects: Sequence[Subject], n: int, rng: Random) -> list[Subject]:
    """Without replacement as far as there are enough."""
    return [s for _ in range(n // len(subjects)) for s in subjects] + rng.sample(subjects, n % len(subjects))


def random_words(vocabulary: Sequence[str], rng: Random) -> str:
    """8 to 40 words of the vocabulary."""
    return joined(rng.choice(vocabulary) for _ in range(rng.randint(MIN_WORDS, MAX_WORDS)))


def shuffled(text: str, rng: Random) -> str:
    """The first 40 words of a text in another order."""
    words = units_of(text)[:MAX_WORDS]
    return joined(rng.sample(words, len(words)))


def repeated(vocabulary: Sequence[str], rng: Random) -> str:
    """One to three words, eight to thirty times, within the length of the others."""
    unit = [rng.choice(vocabulary) for _ in range(rng.randint(1, 3))]
    times = rng.randint(8, max(8, min(30, MAX_WORDS // len(unit))))
    return joined(unit * times)
