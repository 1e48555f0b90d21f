"""Distinct-n and self-BLEU against what is known, and against slower ways of computing the same."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.judging.overlap import words
from miner.measuring.diversity.texts import UNMATCHED, distinct, n_gram_counts, self_bleu

SENTENCE = words("Return the name of the file that was opened last.")
SHORT_TEXTS = st.lists(st.lists(st.sampled_from("abcd"), max_size=7).map(tuple), min_size=2, max_size=5)


def test_words_are_lower_case_and_marks_stand_alone() -> None:
    assert words("Don't open `a.b`, naïve!") == (
        "don", "'", "t", "open", "`", "a", ".", "b", "`", ",", "naïve", "!",
    )  # fmt: skip


def test_identical_texts_have_the_least_distinct_and_a_self_bleu_of_one() -> None:
    texts = [SENTENCE] * 6
    counts = n_gram_counts(texts, 2)
    assert distinct(counts, counts.total()) == pytest.approx(1 / 6)
    assert self_bleu(texts) == pytest.approx(1)


def test_texts_without_a_word_in_common_are_all_distinct_and_share_nothing() -> None:
    texts = [tuple(f"{text}-{n}" for n in range(8)) for text in "abcd"]
    counts = n_gram_counts(texts, 1)
    assert distinct(counts, 10) == pytest.approx(1)
    assert self_bleu(texts) == 0


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_distinct_is_the_mean_over_every_draw(sizes: list[int], data: st.DataObject) -> None:
    tokens = [kind for kind, size in enumerate(sizes) for _ in range(size)]
    draw = data.draw(st.integers(1, len(tokens)))
    draws = list(itertools.combinations(range(len(tokens)), draw))
    expected = sum(len({tokens[i] for i in one}) for one in draws) / len(draws) / draw
    counts: Counter[tuple[str, ...]] = Counter({(str(kind),): size for kind, size in enumerate(sizes)})
    assert distinct(counts, draw) == pytest.approx(expected)


def test_distinct_does_not_reward_writing_less() -> None:
    long, short = [SENTENCE * 3] * 4, [SENTENCE] * 4
    plain = [len(n_gram_counts(texts, 1)) / n_gram_counts(texts, 1).total() for texts in (long, short)]
    assert plain[1] > 2 * plain[0]
    at_the_same = [distinct(n_gram_counts(texts, 1), 20) for texts in (long, short)]
    assert at_the_same[0] == pytest.approx(at_the_same[1], rel=0.15)


def test_fewer_n_grams_than_are_drawn_have_no_distinct() -> None:
    assert distinct(n_gram_counts([SENTENCE], 3), 100) is None


@given(SHORT_TEXTS)
def test_self_bleu_is_the_mean_of_plain_bleu_against_the_others(texts: list[tuple[str, ...]]) -> None:
    each = [plain_bleu(text, texts[:i] + texts[i + 1 :]) for i, text in enumerate(texts)]
    assert self_bleu(texts) == pytest.approx(sum(each) / len(each))


def test_self_bleu_of_one_text_is_refused() -> None:
    with pytest.raises(ValueError, match="got 1 texts"):
        self_bleu([SENTENCE])


def test_self_bleu_is_that_of_nltk() -> None:
    """Values of nltk 3.10's ``sentence_bleu`` with ``SmoothingFunction().method1``, on texts of four words or more."""
    texts = [words(text) for text in NLTK_TEXTS]
    assert self_bleu(texts) == pytest.approx(NLTK_MEAN, abs=1e-9)


NLTK_TEXTS = (
    "Return the name of the file .",
    "Return the path of the file that was opened .",
    "Open the file and return its name .",
    "Close all of the sockets , then return .",
)
NLTK_MEAN = 0.11636971363570144


def plain_bleu(text: tuple[str, ...], others: list[tuple[str, ...]]) -> float:
    """BLEU as its definition reads, one n-gram after the other."""
    if not text:
        return float(any(not other for other in others))
    orders = range(1, min(4, len(text)) + 1)
    logs = []
    for n in orders:
        grams = [text[i : i + n] for i in range(len(text) - n + 1)]
        matched = 0
        for gram in set(grams):
            most = max(sum(o[i : i + n] == gram for i in range(len(o) - n + 1)) for o in others)
            matched += min(grams.count(gram), most)
        if n == 1 and matched == 0:
            return 0.0
        logs.append(math.log((matched or UNMATCHED) / len(grams)))
    closest = min((abs(len(o) - len(text)), len(o)) for o in others)[1]
    return math.exp(sum(logs) / len(logs) + min(0.0, 1 - closest / len(text)))
