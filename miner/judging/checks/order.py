"""What the order of the words is worth: sense loses by shuffling, nonsense has nothing to lose."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import ClassVar

import numpy as np

from corpus.records import digest
from miner.judging.checks.base import Aspect, Check, Floats, Materials, Subject
from miner.judging.checks.words import joined, units_of
from miner.language_models import ReferenceLm

STOPS = ".!?…。"
_BETWEEN_SENTENCES = re.compile(rf"(?<=[{STOPS}])\s+(?=[^\W\d_a-z])")


@dataclass(frozen=True, slots=True)
class _Read:
    """Per text its value, the surprise of it and of its shuffles in nats (empty where it abstains), and its words."""

    values: Floats
    surprise: list[list[float]]
    lengths: list[int]


@dataclass(frozen=True, kw_only=True)
class Order(Check):
    """The text's surprise under ``reference_lm`` less that of its own words in random order, in nats per word, ≪ 0 for
    sense; plus ``fluency_weight`` for each nat per token: of two texts that lose little by shuffling, the odder one is
    the salad.

    The mean surprise over ``shuffles`` shuffles, drawn from ``seed`` and the words, so that the value depends on the
    text alone. What words a text uses cancels out: rare names do not count against it, likely ones not for it. Each
    is written properly, in sentences as long as the text's with capital and stop, and the text is granted its own first
    capital and last stop: a good answer without punctuation is still one. ``sensible`` acquits: no heap of words is
    worth its order. Abstains on what that LM wrote and on fewer than ``min_words`` words, which chance may order.
    Of scripts without spaces characters are the words.

    Where only the side of a threshold is asked for, shuffling stops once all ``shuffles`` would hardly bring the value
    there: it is ``certainty`` standard errors away. A single shuffle strays by the spread of the calibration's, in nats
    per √word, over √words, or as far as the text's own do if that is more.
    """

    name: ClassVar[str] = "order"
    speaks_of: ClassVar[Aspect | None] = "order"
    acquits: ClassVar[bool] = True

    reference_lm: ReferenceLm
    shuffles: int = 8
    min_words: int = 8
    fluency_weight: float = 0.2
    certainty: float = 2.5
    seed: int = 0

    @classmethod
    def of(cls, materials: Materials) -> Order | None:
        return cls(reference_lm=materials.reference_lm) if materials.reference_lm else None

    @property
    def reads(self) -> str:
        return f"texts of at least {self.min_words} words"

    @property
    def identity(self) -> str:
        lm = self.reference_lm
        return digest(
            [
                self.name,
                "nats per word",
                lm.fingerprint,
                lm.dtype,
                self.shuffles,
                self.min_words,
                self.fluency_weight,
                self.certainty,
                self.seed,
            ]
        )

    def values(self, subjects: Sequence[Subject]) -> Floats:
        return self._read(subjects).values

    def calibration_values(self, clean: Sequence[Subject]) -> tuple[Floats, float]:
        read = self._read(clean)
        strays = [np.var(one[1:], ddof=1) / n for one, n in zip(read.surprise, read.lengths, strict=True) if one]
        return read.values, math.sqrt(np.mean(strays)) if strays else 0.0

    def values_about(self, subjects: Sequence[Subject], threshold: float, spread: float) -> Floats:
        return self._read(subjects, about=(threshold, spread)).values

    def _read(self, subjects: Sequence[Subject], *, about: tuple[float, float] | None = None) -> _Read:
        """All shuffles of every text; about a threshold, with its spread, 1, 2, 4, … of them until a text is clear."""
        read = _Read(
            values=np.full(len(subjects), np.nan),
            surprise=[[] for _ in subjects],
            lengths=[len(units_of(subject.response)) for subject in subjects],
        )
        orders = [self._orders(subject) for subject in subjects]
        oddness: dict[int, float] = {}
        unclear, shuffles = list(range(len(subjects))), 0
        while unclear and shuffles < self.shuffles:
            shuffles = self.shuffles if about is None else min(max(1, 2 * shuffles), self.shuffles)
            fresh = [(i, text) for i in unclear for text in islice(orders[i], 1 + shuffles - len(read.surprise[i]))]
            for (i, _), nll in zip(fresh, self.reference_lm.token_nll([text for _, text in fresh]), strict=True):
                oddness.setdefault(i, float(nll.mean()))
                read.surprise[i].append(float(nll.sum()))
            unclear = [i for i in unclear if read.surprise[i]]
            for i in unclear:
                own, *shuffled = read.surprise[i]
                read.values[i] = (own - np.mean(shuffled)) / read.lengths[i] + self.fluency_weight * oddness[i]
            if about is not None:
                threshold, spread = about
                unclear = [i for i in unclear if abs(read.values[i] - threshold) <= self._doubt(read, i, spread)]
        return read

    def _doubt(self, read: _Read, i: int, spread: float) -> float:
        """How far the shuffles that are left may still carry the ``i``-th value, in nats per word."""
        shuffled, n_words = read.surprise[i][1:], read.lengths[i]
        strays = spread / math.sqrt(n_words)
        if len(shuffled) > 1:
            strays = max(strays, float(np.std(shuffled, ddof=1)) / n_words)
        return self.certainty * strays * math.sqrt(1 / len(shuffled) - 1 / self.shuffles)

    def _orders(self, subject: Subject) -> Iterator[str]:
        """The text as it is, then its shuffles, made as they are asked for; nothing where there is no evidence."""
        text = " ".join(subject.response.split())
        sentences = [_plain_words(sentence) for sentence in _BETWEEN_SENTENCES.split(text)]
        words = [word for sentence in sentences for word in sentence]
        if len(words) < self.min_words or subject.sampled_by == self.reference_lm.fingerprint:
            return
        yield _with_ends(text)
        lengths = [len(sentence) for sentence in sentences]
        rng = Random(f"{self.seed}|{' '.join(words)}")
        for _ in range(self.shuffles):
            yield _in_sentences(rng.sample(words, len(words)), lengths)


def _plain_words(sentence: str) -> list[str]:
    """The words without what marks their place: the capital of a first one, the stop of a last."""
    words = (word.rstrip(STOPS) for word in units_of(sentence))
    return [word.lower() if word[1:] == word[1:].lower() else word for word in words if word]


def _in_sentences(words: Sequence[str], lengths: Sequence[int]) -> str:
    left = iter(words)
    return " ".join(_with_ends(joined(islice(left, length))) for length in lengths if length)


def _with_ends(text: str) -> str:
    stop = "" if text.endswith(tuple(STOPS)) else "."
    return f"{text[:1].upper()}{text[1:]}{stop}"
