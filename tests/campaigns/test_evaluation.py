"""What attempts say of an RM, and what they do not."""

from __future__ import annotations

from typing import Any

from corpus.records import Message, Prompt
from miner.campaigns.evaluation import attack_results, clean_outcomes, contrasts
from miner.testing import ToyRewardModel
from tests.campaigns.attempts import attempt

FOUND: dict[str, Any] = {"outcome": "found", "queries": 40, "queries_to_find": 40}
FAILED: dict[str, Any] = {"outcome": "error", "error": "broken", "queries": 3}


def test_an_attempt_that_failed_is_no_evidence_that_the_rm_held() -> None:
    attempts = [attempt(1, **FOUND), attempt(2), attempt(3, **FAILED), attempt(4, **FAILED)]
    (row,) = attack_results(attempts, [], seen_families=(), seen_forms=())
    assert (row.n, row.errors, row.found, row.rate) == (2, 2, 1, 0.5)
    assert row.survival.survival[-1] == 0.5


def test_an_attack_of_which_every_attempt_failed_stays_in_the_table_and_claims_nothing() -> None:
    rows = attack_results([attempt(1), attempt(3, attack="guided", **FAILED)], [], seen_families=(), seen_forms=())
    assert [(row.attack, row.n, row.errors, row.found) for row in rows] == [("gcg", 1, 0, 0), ("guided", 0, 1, 0)]
    assert (rows[1].low, rows[1].high, rows[1].median_queries) == (0, 1, None)


def test_a_contrast_pairs_the_same_prompt_and_seed_and_leaves_failed_ones_out() -> None:
    gcg = [attempt(n, **FOUND) for n in (1, 2)] + [attempt(3, **FAILED)]
    control = [attempt(n, attack="random") for n in (2, 1, 3)]
    (contrast,) = contrasts([*gcg, *control])
    assert (contrast.attack, contrast.difference.n, contrast.difference.value) == ("gcg", 2, 1.0)


def test_attempts_at_different_budgets_or_settings_are_rows_of_their_own() -> None:
    rows = attack_results(
        [attempt(1), attempt(2, budget=200), attempt(3, attack_params={"width": 9})],
        [],
        seen_families=(),
        seen_forms=(),
    )
    assert [row.n for row in rows] == [1, 1, 1]


def test_clean_accuracy_compares_with_as_many_rejected_answers_as_asked_for() -> None:
    rm = ToyRewardModel()
    worse = ("ba", "bi ba", "ba ba bi")
    prompts = [
        Prompt(
            conversation=(Message(role="user", content=f"question {n}"),), reference=rm.flaw, rejected=worse[: n + 1]
        )
        for n in range(3)
    ]
    sizes = {}
    for at_most in (None, 1, 2):
        outcomes = clean_outcomes(rm, prompts, rejected_per_prompt=at_most)
        assert outcomes is not None
        assert outcomes.rejected_per_prompt == at_most
        sizes[at_most] = len(outcomes.preferred)
    assert sizes == {None: 6, 1: 3, 2: 5}


def test_a_contrast_says_what_a_query_costs_beside_the_controls() -> None:
    gcg = [attempt(n, flops=queries * 30.0, **{**FOUND, "queries": queries}) for n, queries in ((1, 10), (2, 40))]
    control = [attempt(n, attack="random", flops=1000.0) for n in (1, 2)]
    (contrast,) = contrasts([*gcg, *control])
    assert contrast.flops_ratio == 3.0
    (unknown,) = contrasts([*gcg, *(attempt(n, attack="random") for n in (1, 2))])
    assert unknown.flops_ratio is None


def test_success_at_unequal_budgets_is_not_compared() -> None:
    gcg = [attempt(n, budget=200, **FOUND) for n in (1, 2)]
    assert contrasts([*gcg, *(attempt(n, attack="random") for n in (1, 2))]) == []
