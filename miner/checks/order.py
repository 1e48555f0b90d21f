"""What the order of the words is worth: sense loses by shuffling, nonsense has nothing to lose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

import numpy as np

from corpus.records import digest
from miner.checks.base import Check, Floats, Materials, Subject
from miner.language_models import LanguageModel

STOPS = ".!?…。"


@dataclass(frozen=True, kw_only=True)
class Order(Check):
    """Minus the nats per word that the text gains over its own words in random order, under ``reference_lm``.

    The mean over ``shuffles`` shuffles, drawn from ``seed`` and the text, so that the value depends on the text alone.
    What words a text uses cancels out: rare names do not count against it, likely ones not for it. So does its
    punctuation: every order is read as a sentence, capital and full stop included, since a good answer without them is
    still one, and a stop after the first word would give a shuffle away for the wrong reason. Per word, not per token,
    since the tokens inside a word gain nothing by its place. ``sensible`` acquits: no heap of words is worth its
    order. Abstains on what that LM wrote and on fewer than ``min_words`` words.
    """

    name: ClassVar[str] = "order"
    acquits: ClassVar[bool] = True

    reference_lm: LanguageModel
    shuffles: int = 8
    min_words: int = 4
    seed: int = 0

    @classmethod
    def of(cls, materials: Materials) -> Order | None:
        return cls(reference_lm=materials.reference_lm) if materials.reference_lm else None

    @property
    def identity(self) -> str:
        lm = self.reference_lm
        return digest([self.name, lm.fingerprint, lm.dtype, self.shuffles, self.min_words, self.seed])

    def values(self, subjects: Sequence[Subject]) -> Floats:
        words = [_plain_words(subject.response) for subject in subjects]
        judged = [
            index
            for index, subject in enumerate(subjects)
            if len(words[index]) >= self.min_words and subject.sampled_by != self.reference_lm.fingerprint
        ]
        nlls = self.reference_lm.token_nll([text for index in judged for text in self._orders(words[index])])
        values = np.full(len(subjects), np.nan)
        for row, index in enumerate(judged):
            own, *shuffled = nlls[row * (self.shuffles + 1) : (row + 1) * (self.shuffles + 1)]
            gain = float(np.mean([nll.sum() for nll in shuffled])) - float(own.sum())
            values[index] = -gain / len(words[index])
        return values

    def _orders(self, words: Sequence[str]) -> list[str]:
        """The words as a sentence in their own order, then in random ones."""
        rng = Random(f"{self.seed}|{' '.join(words)}")
        return [_sentence(order) for order in (words, *(rng.sample(words, len(words)) for _ in range(self.shuffles)))]


def _plain_words(text: str) -> list[str]:
    """The words without what marks their place in a sentence: a capital at the start, a stop at the end."""
    words = (word.rstrip(STOPS) for word in text.split())
    return [word.lower() if word[1:] == word[1:].lower() else word for word in words if word]


def _sentence(words: Sequence[str]) -> str:
    text = " ".join(words)
    return f"{text[:1].upper()}{text[1:]}."
