"""Thresholds, quorum and the error rates that are published with them."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, EntryPoints
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.records import Answer, Message
from miner.errors import ConfigError, DataError
from miner.judging.checks import (
    CHECKS,
    Certifier,
    Check,
    Materials,
    Subject,
    build_checks,
    calibrate,
    known_checks,
    measure,
    plant,
)
from miner.judging.checks.verdict import CalibratedCheck, decide
from tests.judging.checks.conftest import subjects

ANSWERS = st.lists(st.sampled_from(["nonsense", "sensible", "abstain"]), min_size=1, max_size=6)


@dataclass(frozen=True, kw_only=True)
class Length(Check):
    """Characters of the text: a check with known values."""

    name: ClassVar[str] = "length"
    label: str = "length"

    @property
    def identity(self) -> str:
        return self.label

    def values(self, subjects: Sequence[Subject]) -> npt.NDArray[np.float64]:
        return np.array([len(s.response) or np.nan for s in subjects], dtype=np.float64)


class Sense(Length):
    name: ClassVar[str] = "sense"
    acquits: ClassVar[bool] = True


class Stubborn(Length):
    name: ClassVar[str] = "stubborn"
    yields_to_acquittal: ClassVar[bool] = False


def calibrated(check: Check, *, threshold: float) -> CalibratedCheck:
    return CalibratedCheck(check=check, threshold=threshold, target=None, calibration_id="by hand")


def of_lengths(lengths: Sequence[int]) -> list[Subject]:
    return [Subject(response="x" * n, prompt=(Message(role="user", content="?"),)) for n in lengths]


@given(answers=ANSWERS, quorum=st.integers(1, 4))
def test_nonsense_takes_a_quorum_and_sense_takes_evidence(answers: list[Answer], quorum: int) -> None:
    verdict = decide(answers, answers.count("nonsense"), quorum)
    assert (verdict == "nonsense") == (answers.count("nonsense") >= quorum)
    assert (verdict == "abstain") == (len(answers) - answers.count("abstain") < quorum)


@given(answers=ANSWERS, quorum=st.integers(1, 4))
def test_answers_that_an_acquittal_outweighs_convict_nobody(answers: list[Answer], quorum: int) -> None:
    assert decide(answers, 0, quorum) != "nonsense"


@given(answers=ANSWERS, quorum=st.integers(1, 4))
def test_an_abstention_never_changes_a_conviction(answers: list[Answer], quorum: int) -> None:
    convicting = answers.count("nonsense")
    without, with_it = (decide(a, convicting, quorum) for a in (answers, [*answers, "abstain"]))
    assert (without == "nonsense") == (with_it == "nonsense")


def test_a_good_answer_given_three_times_is_no_nonsense_even_without_an_lm() -> None:
    certifier = calibrate(build_checks(Materials()), subjects(400, 3))
    thrice = [replace(s, response=" ".join([s.response] * 3)) for s in subjects(40, 41)]
    assert {certificate.verdict for certificate in certifier.certify(thrice)} == {"sensible"}


@pytest.mark.parametrize(("stubborn", "verdict"), [(False, "sensible"), (True, "nonsense")])
def test_an_acquittal_outweighs_only_what_yields_to_it(stubborn: bool, verdict: Answer) -> None:
    convicting = Stubborn(label="a") if stubborn else Length(label="a")
    checks = (calibrated(convicting, threshold=10.0), calibrated(Sense(label="b"), threshold=1e6))
    (certificate,) = Certifier(checks=checks, quorum=1).certify(of_lengths([50]))
    assert [v.verdict for v in certificate.verdicts] == ["nonsense", "sensible"]
    assert certificate.verdict == verdict


def test_only_repetition_stands_against_order(materials: Materials) -> None:
    checks = build_checks(materials)
    assert [check.name for check in checks if check.acquits] == ["order"]
    assert [check.name for check in checks if not check.yields_to_acquittal] == ["repetition"]


def test_order_acquits_what_a_claim_or_another_check_would_convict(certifier: Certifier) -> None:
    claimed = [replace(s, construction="random_words") for s in subjects(40, 42)]
    certificates = certifier.certify(claimed)
    convicted = [c for c in certificates if c.verdict == "nonsense"]
    assert all(any(v.check == "construction" and v.verdict == "nonsense" for v in c.verdicts) for c in certificates)
    assert len(convicted) <= 2


@given(lengths=st.lists(st.integers(1, 500), min_size=100, max_size=300), target=st.sampled_from([0.01, 0.03, 0.1]))
def test_at_most_the_target_of_the_calibration_set_is_convicted(lengths: list[int], target: float) -> None:
    clean = of_lengths(lengths)
    convicted = [c.verdict == "nonsense" for c in calibrate([Length()], clean, target=target, quorum=1).certify(clean)]
    assert sum(convicted) <= target * len(clean)


def test_new_clean_text_is_convicted_at_most_at_the_target_rate() -> None:
    everyone = of_lengths(random.Random(0).sample(range(1, 1000), 100))
    convicted = 0
    for left_out in range(100):
        certifier = calibrate([Length()], everyone[:left_out] + everyone[left_out + 1 :], target=0.03, quorum=1)
        convicted += certifier.certify([everyone[left_out]])[0].verdict == "nonsense"
    assert convicted == 3


def test_with_few_clean_texts_nothing_up_to_their_largest_value_convicts_and_the_target_says_so() -> None:
    certifier = calibrate([Length()], of_lengths(range(1, 101)), target=0.001, quorum=1)
    assert certifier.checks[0].threshold == 100.0
    assert certifier.checks[0].target == pytest.approx(1 / 101)


def test_too_few_clean_texts_set_no_threshold() -> None:
    with pytest.raises(ConfigError, match=r"'length' has evidence on 9 of 209 clean texts.*About 465 such"):
        calibrate([Length()], of_lengths([*range(1, 10), *[0] * 200]), quorum=1)


def test_an_abstention_carries_no_value() -> None:
    certifier = calibrate([Length()], of_lengths(range(1, 200)), quorum=1)
    (certificate,) = certifier.certify(of_lengths([0]))
    assert certificate.verdict == "abstain"
    assert np.isnan(certificate.verdicts[0].value)


def test_the_calibration_is_named_after_check_texts_and_target() -> None:
    clean, more = of_lengths(range(1, 200)), of_lengths(range(2, 201))
    certifiers = [
        calibrate([Length()], clean, target=0.02, quorum=1),
        calibrate([Length(label="other")], clean, target=0.02, quorum=1),
        calibrate([Length()], more, target=0.02, quorum=1),
        calibrate([Length()], clean, target=0.03, quorum=1),
    ]
    assert len({certifier.checks[0].calibration_id for certifier in certifiers}) == 4
    assert len({certifier.identity for certifier in certifiers}) == 4
    assert certifiers[0].identity == calibrate([Length()], clean, target=0.02, quorum=1).identity


def test_the_order_of_the_checks_does_not_change_the_certifier(certifier: Certifier) -> None:
    assert replace(certifier, checks=certifier.checks[::-1]).identity == certifier.identity
    assert replace(certifier, quorum=certifier.quorum + 1).identity != certifier.identity


def test_other_code_makes_another_certifier(certifier: Certifier) -> None:
    assert replace(certifier, code="1").identity != replace(certifier, code="2").identity


def test_a_threshold_that_another_batch_moves_in_its_last_digits_is_the_same_judge() -> None:
    check = Length()
    certifiers = [Certifier(checks=(calibrated(check, threshold=threshold),)) for threshold in (7.5, 7.5000001, 7.501)]
    assert certifiers[0].identity == certifiers[1].identity != certifiers[2].identity


@pytest.mark.parametrize("quorum", [0, 2])
def test_a_quorum_that_cannot_be_met_is_refused(quorum: int) -> None:
    with pytest.raises(ConfigError, match="quorum"):
        calibrate([Length()], of_lengths(range(1, 200)), quorum=quorum)


def test_no_check_votes_twice() -> None:
    with pytest.raises(ConfigError, match="once"):
        calibrate([Length(), Length()], of_lengths(range(1, 200)), quorum=1)
    with pytest.raises(ConfigError, match="once"):
        build_checks(Materials(), ["repetition", "repetition"])


def test_an_unknown_check_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'fluency'"):
        build_checks(Materials(), ["fluencey"])


def test_third_parties_add_checks_but_replace_none(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = EntryPoints(
        EntryPoint(name, "miner.judging.checks.construction:Construction.of", "rmminer.checks")
        for name in ("theirs", "order")
    )
    monkeypatch.setattr("miner.judging.checks.registry.entry_points", lambda group: entries.select(group=group))
    assert known_checks()["order"].value == CHECKS["order"]
    assert build_checks(Materials(), ["theirs"])[0].name == "construction"


def test_without_a_reference_lm_its_checks_are_absent_unless_asked_for() -> None:
    names = {check.name for check in build_checks(Materials(clean_texts=("a b c",)))}
    assert names == set(CHECKS) - {"fluency", "order"}
    with pytest.raises(ConfigError, match="reference LM"):
        build_checks(Materials(), ["order"])


def test_the_default_checks_convict_plants_and_spares_clean_text(certifier: Certifier) -> None:
    clean = subjects(300, 31)
    errors = measure(certifier, clean, plant(clean, per_kind=60))
    assert errors["verdict"].false_alarm.value <= 0.05
    assert errors["verdict"].false_alarm.n == 300
    for kind in ("random_words", "shuffled_words", "repeated_tokens"):
        assert errors["verdict"].hit_rate[kind].value >= 0.9, kind
    assert set(errors) == {"verdict", *(calibrated.check.name for calibrated in certifier.checks)}


def test_the_published_false_alarm_rate_is_that_of_the_certificates() -> None:
    certifier = calibrate([Length()], of_lengths(range(1, 201)), target=0.1, quorum=1)
    errors = measure(certifier, of_lengths([500, 1, 1, 0]), {"long": of_lengths([400, 1])})["verdict"]
    assert (errors.false_alarm.value, errors.evidence.value, errors.hit_rate["long"].value) == (0.25, 0.75, 0.5)


def test_plants_need_words_to_shuffle() -> None:
    with pytest.raises(DataError, match="8 words to shuffle"):
        plant(of_lengths([5, 6]), per_kind=1)


def test_importing_the_checks_does_not_import_torch() -> None:
    code = "import sys, miner.judging.checks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
