"""Groups against planted causes, and what they must not depend on."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from miner.measuring.triage.attribution import with_top_words
from miner.measuring.triage.causes import ANY_REPEATED, ANY_WORDS, PROMPT_WORD, Cause, Rarity, cause_of, describe
from miner.measuring.triage.grouping import grouped
from miner.measuring.triage.shrinking import shrink
from miner.measuring.triage.trials import Trials
from miner.searching.confirmation import Confirmation
from scripts.triage_bench.agreement import adjusted_rand_interval
from scripts.triage_bench.planted import planted_set


@pytest.mark.parametrize("gives_gradients", [True, False])
def test_groups_are_the_planted_causes(gives_gradients: bool) -> None:
    made = planted_set(seed=300, per_flaw=6, gives_gradients=gives_gradients)
    by_id = {finding.finding_id: finding for finding in made.findings}
    elsewhere = tuple(prompt.conversation for prompt in made.prompts[:32])
    confirmation = Confirmation(rm=made.rm, criteria=made.criteria, certifier=made.certifier)
    trials = Trials(confirmation=confirmation, elsewhere=elsewhere)
    shrunk = [with_top_words(made.rm, by_id[s.finding_id], s) for s in shrink(made.findings, trials, max_queries=600)]
    assert all((one.top is not None) == gives_gradients for one in shrunk)
    groups = grouped([cause_of(one) for one in shrunk], Rarity.of(str(p.reference) for p in made.prompts))
    group_of = {one: group.group for group in groups for one in group.finding_ids}
    found = adjusted_rand_interval(made.truth, [group_of[f.finding_id] for f in made.findings])
    assert found.low >= 0.8, found
    assert {ANY_WORDS, ANY_REPEATED, PROMPT_WORD} <= {feature for group in groups for feature in group.cause}


def made_up(n: int, seed: int = 0) -> list[Cause]:
    rng = Random(seed)
    return [
        Cause(
            finding_id=f"{i:05}",
            features=frozenset({f"word: w{rng.randrange(40)}" for _ in range(rng.randrange(1, 6))}),
            form=rng.choice(("salad", "repetition")),
        )
        for i in range(n)
    ]


@settings(max_examples=25)
@given(st.randoms(use_true_random=False), st.integers(1, 60))
def test_the_order_of_findings_changes_nothing(rng: Random, n: int) -> None:
    causes = made_up(n)
    shuffled = rng.sample(causes, len(causes))
    assert grouped(shuffled, Rarity.of(["w1 w2", "w3"])) == grouped(causes, Rarity.of(["w1 w2", "w3"]))


def test_every_finding_is_in_one_group_and_the_largest_come_first() -> None:
    groups = grouped(made_up(300), Rarity.of([]))
    ids = [one for group in groups for one in group.finding_ids]
    assert sorted(ids) == [f"{i:05}" for i in range(300)]
    sizes = [len(group.finding_ids) for group in groups]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 1
    assert grouped([], Rarity.of([])) == []


def test_blocks_change_nothing_average_linkage_over_all_pairs_gives_the_same() -> None:
    from scipy.cluster import hierarchy
    from scipy.spatial.distance import squareform

    from miner.measuring.triage.grouping import THRESHOLD

    rarity = Rarity(n_texts=10**9, counts={f"w{i}": 23 * i for i in range(40)})  # no two weigh the same
    causes = [replace(one, form="salad") for one in made_up(120, seed=5)]
    kinds = {tuple(sorted(c.features)): c for c in causes}
    different = [kinds[key] for key in sorted(kinds)]

    def distance(one: Cause, other: Cause) -> float:
        both = math.fsum(rarity.weight(f) for f in one.features & other.features)
        either = math.fsum(rarity.weight(f) for f in one.features | other.features)
        return 1 - both / either

    matrix = np.array([[0.0 if a is b else distance(a, b) for b in different] for a in different])
    plain = hierarchy.fcluster(hierarchy.average(squareform(matrix)), 1 - THRESHOLD + 1e-9, criterion="distance")
    group_of = {one: group.group for group in grouped(causes, rarity) for one in group.finding_ids}
    assert adjusted_rand_score(plain.tolist(), [group_of[one.finding_id] for one in different]) == 1


def test_another_form_makes_causes_less_alike() -> None:
    same = [Cause(finding_id=f"{i}", features=frozenset({"word: a", f"word: b{i}"}), form="salad") for i in (0, 1)]
    other = [same[0], replace(same[1], form="repetition")]
    assert len(grouped(same, Rarity.of([]), threshold=0.3)) == 1
    assert len(grouped(other, Rarity.of([]), threshold=0.3)) == 2


def test_a_rare_shared_word_links_and_a_common_one_does_not() -> None:
    clean = ["of the file", "of a path", "of it", "of them"] * 10
    rare = [Cause(finding_id=f"{i}", features=frozenset({"word: zebra", f"word: of{i}"}), form="salad") for i in (0, 1)]
    common = [Cause(finding_id=f"{i}", features=frozenset({"word: of", f"word: z{i}"}), form="salad") for i in (2, 3)]
    groups = grouped([*rare, *common], Rarity.of([*clean, "of0 of1 q"] * 4), threshold=0.3)
    assert {group.finding_ids for group in groups} == {("0", "1"), ("2",), ("3",)}


def test_ten_thousand_findings_need_no_loop_over_pairs() -> None:
    rng, started = Random(1), time.perf_counter()
    causes = [
        Cause(
            finding_id=f"{i}",
            features=frozenset({f"word: a{i % 200}", f"word: b{i % 200}", f"word: n{rng.randrange(5000)}"}),
            form="salad",
        )
        for i in range(10_000)
    ]
    groups = grouped(causes, Rarity.of([]), threshold=0.45)
    assert len(groups) == 200
    assert time.perf_counter() - started < 120


def test_features_are_told_in_words() -> None:
    assert describe(["word: of", "top: of", "prompt word"]) == ("“of”", "prompt word")
