"""What single checks see, and where they say that they see nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks.queries import Construction
from miner.judging.checks import Check, Materials, Subject, build_checks, plant
from miner.judging.checks.order import Order
from miner.language_models import LanguageModel
from tests.judging.checks.conftest import sentence, subjects

WORDS = st.sampled_from(
    ["file", "path", "name", "open", "read", "copy", "thread", "socket", "table", "index", "value", "list"]
)


def build(name: str, materials: Materials | None = None) -> Check:
    return build_checks(materials or Materials(), [name])[0]


def order_alone(materials: Materials) -> Order:
    order = build("order", materials)
    assert isinstance(order, Order)
    return replace(order, fluency_weight=0.0)


def value(check: Check, response: str, **known: str | None) -> float:
    base = subjects(1, 5)[0]
    return float(check.values([replace(base, response=response, **known)])[0])  # type: ignore[arg-type]


def test_order_tells_sense_from_its_own_shuffle(materials: Materials) -> None:
    order, clean = build("order", materials), subjects(60, 21)
    shuffled = plant(clean, per_kind=60)["shuffled_words"]
    assert np.quantile(order.values(clean), 0.9) < np.quantile(order.values(shuffled), 0.1)


def test_one_word_over_and_over_gains_nothing_by_its_order(materials: Materials) -> None:
    assert value(order_alone(materials), "file " * 20) == pytest.approx(0.0, abs=1e-5)


def test_a_missing_capital_or_stop_is_no_evidence_against_order(materials: Materials) -> None:
    order = build("order", materials)
    texts = [subject.response for subject in subjects(20, 23)]
    assert len(texts) == 20
    for text in texts:
        assert value(order, text.lower().rstrip(".")) == pytest.approx(value(order, text), abs=1e-5)


@dataclass(frozen=True)
class Counting:
    """A reference LM that remembers how many texts it has read."""

    lm: LanguageModel
    read: list[int]
    fingerprint = "counting"
    dtype = "float32"

    def token_nll(self, texts: Sequence[str]) -> list[npt.NDArray[np.float64]]:
        self.read.append(len(texts))
        return self.lm.token_nll(texts)


def test_order_reads_a_clear_text_twice_and_one_at_the_threshold_to_the_end(reference_lm: LanguageModel) -> None:
    lm = Counting(reference_lm, [])
    order = build("order", Materials(reference_lm=lm))
    clean = subjects(60, 24)
    full, spread = order.calibration_values(clean)
    assert lm.read.pop() == 60 * 9
    np.testing.assert_array_equal(order.values_about(clean, 100.0, spread) < 100, np.ones(60, dtype=bool))
    assert [lm.read.pop() for _ in lm.read[:]] == [60 * 2]
    for subject, value in list(zip(clean, full, strict=True))[:8]:
        assert order.values_about([subject], value + 1e-9, spread) == pytest.approx(value, abs=1e-6)
        assert sum(lm.read) == 9
        lm.read.clear()


def test_stopping_early_hardly_ever_changes_what_order_says(materials: Materials) -> None:
    order, clean = build("order", materials), subjects(200, 25)
    texts = [*clean, *plant(clean, per_kind=200)["shuffled_words"]]
    full, (_, spread) = order.values(texts), order.calibration_values(subjects(200, 26))
    threshold = float(np.quantile(full[:200], 0.99))
    about = order.values_about(texts, threshold, spread)
    assert np.mean(about != full) > 0.5, "most are clear before the last shuffle"
    assert np.sum((about > threshold) != (full > threshold)) <= 2


def test_a_shuffle_has_the_words_and_the_sentences_of_its_text(materials: Materials) -> None:
    order = build("order", materials)
    assert isinstance(order, Order)
    text = "The file opens. A parser of the IO module reads it!"
    own, *shuffled = order._orders(Subject(response=text, prompt=()))
    assert own == text
    assert len(set(shuffled)) == len(shuffled) == order.shuffles
    for one in shuffled:
        assert sorted(one.lower().replace(".", "").split()) == sorted(text.lower().strip("!").replace(".", "").split())
        assert [len(sentence.split()) for sentence in one.split(".") if sentence] == [3, 8]
        assert all(sentence.strip()[0].isupper() for sentence in one.split(".") if sentence)


def test_a_stop_in_the_middle_gives_a_shuffle_away_but_not_a_second_sentence(materials: Materials) -> None:
    order = order_alone(materials)
    first, second = sentence(Random(1)), sentence(Random(2))
    words = f"{first} {second}".split()
    inner_stop = " ".join(Random(3).sample(words, len(words)))
    assert value(order, f"{first} {second}") < -0.1 < value(order, inner_stop)


def test_fluency_finds_words_at_random_less_likely_than_sense(materials: Materials) -> None:
    fluency, clean = build("fluency", materials), subjects(60, 22)
    random_words = plant(clean, per_kind=60)["random_words"]
    assert np.median(fluency.values(clean)) < np.quantile(fluency.values(random_words), 0.1)


@pytest.mark.parametrize("name", ["fluency", "order"])
def test_an_lm_gives_no_evidence_on_what_it_wrote(name: str, materials: Materials, reference_lm: LanguageModel) -> None:
    text = sentence(Random(9))
    check = build(name, materials)
    assert math.isnan(value(check, text, sampled_by=reference_lm.fingerprint))
    assert math.isfinite(value(check, text, sampled_by="another LM"))


@pytest.mark.parametrize("name", ["fluency", "order"])
def test_a_word_is_too_short_for_an_lm_to_judge(name: str, materials: Materials) -> None:
    assert math.isnan(value(build(name, materials), "file"))


@given(unit=st.lists(WORDS, min_size=1, max_size=3), times=st.integers(8, 30), joint=st.sampled_from(["", " ", "\n"]))
def test_repetition_sees_every_repeated_unit(unit: list[str], times: int, joint: str) -> None:
    assert value(build("repetition"), joint.join([joint.join(unit)] * times)) > 0.6


@given(words=st.lists(WORDS, min_size=4, max_size=12, unique=True))
def test_repetition_finds_little_where_no_word_occurs_twice(words: list[str]) -> None:
    found = value(build("repetition"), " ".join(words))
    assert math.isnan(found) or found < 0.2


def test_relevance_needs_another_good_answer() -> None:
    relevance = build("relevance", Materials(clean_texts=("one two three",)))
    assert math.isnan(value(relevance, "The file reads a path.", reference=None))
    assert math.isnan(value(relevance, "The file reads a path.", reference="The file reads a path."))


def test_relevance_counts_shared_words_whatever_their_case_or_joints() -> None:
    relevance = build("relevance", Materials(clean_texts=("the a is", "the of")))
    shared = value(relevance, "readFile parses", reference="It parses; read_file and FILE do so.")
    foreign = value(relevance, "quantum tulips", reference="It parses; read_file and FILE do so.")
    assert shared == pytest.approx(0.0)
    assert foreign == pytest.approx(1.0)


@given(words=st.lists(WORDS, min_size=5, max_size=12), seed=st.integers(0, 99))
def test_relevance_does_not_see_order(words: list[str], seed: int) -> None:
    relevance = build("relevance", Materials(clean_texts=("open the file", "read a path")))
    shuffled = Random(seed).sample(words, len(words))
    assert value(relevance, " ".join(words)) == pytest.approx(value(relevance, " ".join(shuffled)))


@pytest.mark.parametrize(
    ("text", "claim", "borne_out"),
    [
        ("file " * 8, "repeated_token", True),
        ("the the The THE the", "repeated_token", True),
        ("lolololololo", "repeated_token", True),
        ("file path file path file path", "repeated_token", False),
        ("file", "repeated_token", False),
        ("", "repeated_token", False),
        ("nino servant blogs kindly tutor thank video link", "random_words", True),
        ("Return the file.", "random_words", False),
        ("nino servant blogs kindly tutor thank video link", "shuffled_words", True),
        ("name the returns file of", "shuffled_words", False),
        ("nino servant blogs kindly tutor thank video link", None, False),
    ],
)
def test_construction_believes_what_the_text_bears_out(text: str, claim: Construction | None, borne_out: bool) -> None:
    subject = replace(subjects(1, 5)[0], response=text, construction=claim)
    found = float(build("construction").values([subject])[0])
    assert found == 1.0 if borne_out else math.isnan(found)


def test_a_shuffle_that_is_still_the_reference_is_none() -> None:
    reference = "Return a new list of the sorted names in the given open file."
    nearly = "Return a new list of the sorted names in the given file open"
    subject = Subject(response=nearly, prompt=(), reference=reference, construction="shuffled_words")
    assert math.isnan(float(build("construction").values([subject])[0]))
    assert float(build("construction").values([replace(subject, reference=None)])[0]) == 1.0


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_plants_are_nonsense_of_the_promised_length_and_claim_nothing(seed: int) -> None:
    plants = plant(subjects(12, 4), per_kind=5, seed=seed)
    assert "repeated_tokens" in plants
    assert len(plants) > 1
    for kind, planted in plants.items():
        assert len(planted) == 5
        for subject in planted:
            assert subject.construction is None
            assert 8 <= len(subject.response.split()) <= 40
            assert (len(set(subject.response.split())) <= 3) == (kind == "repeated_tokens")
