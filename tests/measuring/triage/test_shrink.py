"""Shrinking on a toy RM with planted flaws, and ddmin on predicates that are known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.judging.checks import Subject
from miner.measuring.triage.ddmin import ddmin, max_ddmin_queries
from miner.measuring.triage.pieces import joined, pieces_of
from miner.measuring.triage.shrink import OWN
from miner.measuring.triage.shrinking import Shrunk, max_shrinking_queries, shrink
from miner.measuring.triage.trials import Trials
from miner.rewards.base import Pair
from miner.searching.confirmation import Confirmation
from scripts.triage_bench.planted import PlantedSet, planted_set


@pytest.fixture(scope="module")
def planted() -> PlantedSet:
    return planted_set(seed=3, per_flaw=3)


@pytest.fixture(scope="module")
def trials(planted: PlantedSet) -> Trials:
    return Trials(
        confirmation=Confirmation(rm=planted.rm, criteria=planted.criteria, certifier=planted.certifier),
        elsewhere=tuple(prompt.conversation for prompt in planted.prompts[:16]),
    )


@pytest.fixture(scope="module")
def shrunk(planted: PlantedSet, trials: Trials) -> dict[str, Shrunk]:
    return {one.finding_id: one for one in shrink(planted.findings, trials, max_queries=600)}


@given(n=st.integers(1, 40), needed=st.sets(st.integers(0, 39), max_size=6))
def test_ddmin_keeps_exactly_what_is_needed_within_its_bound(n: int, needed: set[int]) -> None:
    needed = {piece for piece in needed if piece < n}
    search, asked, kept = ddmin(n), 0, None
    try:
        candidates = next(search)
        while True:
            asked += len(candidates.kept)
            passed = next((i for i, one in enumerate(candidates.kept) if needed <= set(one)), None)
            candidates = search.send(passed)
    except StopIteration as end:
        kept = end.value
    assert set(kept) == needed or (not needed and len(kept) == 1)
    assert asked <= max_ddmin_queries(n)


@given(st.text(alphabet="ab c('.…é\n世", max_size=60))
def test_pieces_are_the_text_again(text: str) -> None:
    pieces = pieces_of(text)
    assert joined(pieces) == text.strip()
    assert all(pieces) or not text


def test_a_run_without_spaces_can_be_shrunk_too() -> None:
    assert len(pieces_of("thethethethethethethe")) > 2


def test_every_minimal_text_still_wins_from_text_and_is_still_certified(
    planted: PlantedSet, shrunk: dict[str, Shrunk]
) -> None:
    assert len(planted.findings) == 3 * len(planted.rm.flaws) == 33
    for finding in planted.findings:
        one = shrunk[finding.finding_id]
        reward = planted.rm.reward(Pair(finding.prompt, one.minimal))
        assert reward == pytest.approx(one.reward)
        assert planted.criteria.wins(reward, finding.reference_reward)
        (certificate,) = planted.certifier.certify([Subject(response=one.minimal, prompt=finding.prompt)])
        assert certificate.verdict == "nonsense"
        assert one.pieces_after <= one.pieces_before
        assert planted.criteria.wins(planted.rm.reward(Pair(finding.prompt, one.core)), finding.reference_reward)


def test_without_any_one_word_a_minimal_text_is_no_finding(
    planted: PlantedSet, trials: Trials, shrunk: dict[str, Shrunk]
) -> None:
    assert any(len(pieces_of(one.minimal)) < len(pieces_of(finding.response))
               for finding in planted.findings for one in [shrunk[finding.finding_id]])  # fmt: skip
    for finding in planted.findings:
        one = shrunk[finding.finding_id]
        assert one.one_minimal
        pieces = pieces_of(one.minimal)
        for at in range(len(pieces)):
            text = joined(pieces[:at] + pieces[at + 1 :])
            if text and trials.wins(finding, planted.rm.reward(Pair(finding.prompt, text))):
                (certificate,) = trials.certify([(finding, text)])
                assert certificate.verdict != "nonsense", (one.minimal, text)


def test_the_core_of_a_phrase_is_the_phrase_and_its_words_are_essential(
    planted: PlantedSet, shrunk: dict[str, Shrunk]
) -> None:
    worded = [
        (shrunk[finding.finding_id], truth.split()[1:])
        for finding, truth in zip(planted.findings, planted.truth, strict=True)
        if truth.split()[0] in ("phrase", "prefix")
    ]
    assert len(worded) == 15
    for one, words in worded:
        assert one.core.split() == words
        assert set(one.essential or ()) | set(one.echoed) == set(words)


def test_where_any_word_does_no_word_is_essential(planted: PlantedSet, shrunk: dict[str, Shrunk]) -> None:
    assert [planted.truth.count(truth) for truth in ("repetition", "length", "prompt")] == [3, 3, 3]
    for finding, truth in zip(planted.findings, planted.truth, strict=True):
        if truth in ("repetition", "length"):
            assert shrunk[finding.finding_id].essential == ()
            assert shrunk[finding.finding_id].cause_queries < 3 * len(finding.response.split()), "exchanged all at once"
        if truth == "prompt":
            assert shrunk[finding.finding_id].echoed


@pytest.mark.parametrize("cap", [1, 7, 25])
def test_queries_stay_within_their_cap_and_what_it_cut_short_is_flagged(
    planted: PlantedSet, trials: Trials, cap: int
) -> None:
    planted.rm.scored.clear()
    found = list(shrink(planted.findings, trials, max_queries=cap))
    assert all(one.queries <= cap and one.cause_queries <= cap for one in found)
    assert any(not one.one_minimal for one in found)
    by_id = {finding.finding_id: finding for finding in planted.findings}
    for one in found:
        assert one.queries + one.cause_queries <= max_shrinking_queries(by_id[one.finding_id].response, cap)
        assert planted.criteria.wins(one.reward, by_id[one.finding_id].reference_reward)


def test_shrinking_alone_or_together_and_in_any_order_gives_the_same(
    planted: PlantedSet, trials: Trials, shrunk: dict[str, Shrunk]
) -> None:
    backwards = {one.finding_id: one for one in shrink(planted.findings[::-1], trials, max_queries=600)}
    assert backwards == shrunk
    (alone,) = shrink(planted.findings[:1], trials, max_queries=600)
    assert alone == shrunk[alone.finding_id]


def test_an_attacks_word_vouches_for_no_part_of_its_text(planted: PlantedSet) -> None:
    """Of constructions only what the text itself shows may convict what is left of it."""
    from miner.judging.checks import CalibratedCheck, Certifier, Materials
    from miner.judging.checks.construction import Construction

    check = CalibratedCheck(check=Construction.of(Materials()), threshold=0.5, target=None, calibration_id="c")
    certifier = Certifier(checks=(check,))
    trials = Trials(confirmation=Confirmation(rm=planted.rm, criteria=planted.criteria, certifier=certifier))
    texts = [(planted.findings[0], "one two three four five six seven"), (planted.findings[0], "ba ba ba ba")]
    assert [one.verdict for one in trials.certify(texts)] == ["abstain", "nonsense"]


def test_what_is_left_may_not_spell_a_special_token(planted: PlantedSet) -> None:
    class Special(type(planted.rm)):  # type: ignore[misc]
        special_tokens = ("[MASK]",)

    rm = Special(seed=3)
    trials = Trials(confirmation=Confirmation(rm=rm, criteria=planted.criteria, certifier=planted.certifier))
    texts = ("ba [MASK]", "ba mask", "ba \x1b", "")
    rewards = trials.rewards([(planted.findings[0], text, OWN) for text in texts])
    assert [reward > -100 for reward in rewards] == [False, True, False, False]
