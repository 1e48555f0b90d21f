"""What a shrunk finding says of its cause, as weighted features that two findings of one cause share.

=====================  ===============================================================================================
``word: w``            an essential word of the core, weighted by how rare it is in clean text: sharing "of" says little
``prompt word``        an essential word that counts because the finding's own prompt has it: elsewhere it is another
``top: w``             the word is among those that earn most of the reward by attribution (where the RM gives it)
``repeats``            the core says half of its words again
``any word repeated``  such a core in which no word is essential
``any words``          no word is essential and nothing repeats: sheer length, or whatever else words do not decide
=====================  ===============================================================================================

Where the query cap came before the essential words were known, all words of the core stand for them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from corpus.records import Form
from miner.measuring.triage.pieces import distinct_words, n_words
from miner.measuring.triage.shrinking import Shrunk

PROMPT_WORD, REPEATS, ANY_REPEATED, ANY_WORDS = "prompt word", "repeats", "any word repeated", "any words"
TOP_WEIGHT = 0.5  # of an attributed word, to that of an essential one
MIN_WEIGHT = 0.1
MIN_REPEATED = 3  # words, to speak of repetition


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """The features of one finding, and its form."""

    finding_id: str
    features: frozenset[str]
    form: Form


@dataclass(frozen=True, kw_only=True)
class Rarity:
    """How rare words are in clean text: 1 for one that never occurs, ``MIN_WEIGHT`` for one in every text."""

    n_texts: int
    counts: Mapping[str, int]

    @classmethod
    def of(cls, clean: Iterable[str]) -> Rarity:
        texts = [distinct_words(text) for text in clean]
        return cls(n_texts=len(texts), counts=Counter(word for words in texts for word in words))

    def __call__(self, word: str) -> float:
        share = 1 - math.log(self.counts.get(word, 0) + 1) / math.log(self.n_texts + 2)
        return max(MIN_WEIGHT, share)

    def weight(self, feature: str) -> float:
        kind, colon, word = feature.partition(": ")
        if not colon:
            return 1.0
        return self(word) * (TOP_WEIGHT if kind == "top" else 1.0)


def describe(features: Iterable[str]) -> tuple[str, ...]:
    """Features for people: words as they are, in quotes, each once, and what else there is."""
    plain = (f"“{word}”" if colon else kind for kind, colon, word in (one.partition(": ") for one in features))
    return tuple(dict.fromkeys(plain))


def cause_of(shrunk: Shrunk) -> Cause:
    """The features of a shrunk finding."""
    words = distinct_words(shrunk.core)
    repeats = n_words(shrunk.core) >= MIN_REPEATED and 2 * len(words) <= n_words(shrunk.core)
    essential = words if shrunk.essential is None else shrunk.essential
    if not essential and not shrunk.echoed:
        features = {ANY_REPEATED if repeats else ANY_WORDS}
    else:
        features = {f"word: {word}" for word in essential} | ({PROMPT_WORD} if shrunk.echoed else set())
        features |= {f"top: {word}" for word in shrunk.top or () if word not in shrunk.echoed}
        features |= {REPEATS} if repeats else set()
    return Cause(finding_id=shrunk.finding_id, features=frozenset(features), form=shrunk.form)
