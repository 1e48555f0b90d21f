"""Every registered attack keeps the contract: typed queries, no model, reproducible, never wedged."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest

from attacks import (
    AllTokens,
    Answers,
    Attack,
    Attribute,
    Carried,
    Construction,
    Continuation,
    GradientQuery,
    Likelihoods,
    NextTokens,
    NothingToTryError,
    PolicyQuery,
    Query,
    RandomSwaps,
    Relax,
    Sample,
    Score,
    Search,
    Seeds,
    SurrogateSwaps,
    Swap,
    Swaps,
    Task,
    Tasks,
    Words,
    known_attacks,
)
from attacks.archive import Archive
from attacks.guided import Guided
from attacks.registry import BUILT_IN
from corpus.records import Message, digest
from miner.rewards.base import Pair, RelaxRequest, SwapRequest
from miner.testing import ToyRewardModel

PROMPT = (Message(role="user", content="What does ba do?"),)
REFERENCE = "ba ke li mo nu ra se ti vo wu."
CLAIMS: set[Construction | None] = {None, "repeated_token", "random_words", "shuffled_words", "gibberish"}

attacks = pytest.mark.parametrize("attack", [kind() for kind in known_attacks().values()], ids=lambda a: a.name)


def answer(rm: ToyRewardModel, query: Query[Any], n_prompts: int = 1) -> Any:
    if isinstance(query, Score):
        rewards = rm.rewards([Pair(PROMPT, text) for text in query.texts])
        return np.repeat(rewards[:, None], len(query.prompts) or n_prompts, axis=1)
    if isinstance(query, PolicyQuery):
        return policy_answer(rm, query)
    if isinstance(query, GradientQuery):
        return gradient_answer(rm, query)
    if isinstance(query, RandomSwaps):
        return rm.random_swaps(Pair(PROMPT, query.text), query.n, np.random.default_rng(query.seed))
    if isinstance(query, Words):
        return rm.words(query.n, np.random.default_rng(query.seed))
    if isinstance(query, AllTokens):
        return rm.all_tokens()
    if isinstance(query, Tasks):
        return (Task("What does ba do?", REFERENCE),) * n_prompts
    if isinstance(query, Carried):
        return ("another good answer.", "and one more.")
    assert isinstance(query, (Answers, Seeds))
    return ("another good answer.", "and one more.")[: query.n]


def gradient_answer(rm: ToyRewardModel, query: GradientQuery[Any]) -> Any:
    if isinstance(query, Attribute):
        return rm.attributions(Pair(PROMPT, query.text), query.steps)
    if isinstance(query, Relax):
        pair = Pair(PROMPT, query.text)
        request = RelaxRequest(pair, query.steps, query.readouts, query.learning_rate, query.temperature, query.seed)
        return rm.relax([request])[0]
    assert isinstance(query, (Swaps, SurrogateSwaps))
    weights = tuple(term.weight for term in query.terms) if isinstance(query, Swaps) else (1.0,)
    return rm.swaps([SwapRequest((PROMPT,) * len(weights), weights, query.text, query.k)])[0]


def policy_answer(rm: ToyRewardModel, query: PolicyQuery[Any]) -> Any:
    if isinstance(query, Likelihoods):
        return np.array([-float(len(set(text.split()))) for text in query.texts])
    if isinstance(query, NextTokens):
        words = rm.words(query.k, np.random.default_rng(len(query.prefixes[0])))
        return tuple(
            tuple(Continuation(f"{prefix} {word}".strip(), -1.0) for word in words) for prefix in query.prefixes
        )
    assert isinstance(query, Sample)
    rng = np.random.default_rng(query.seed)
    return tuple(Continuation(" ".join(rm.words(3, rng)), -1.0) for _ in range(query.n))


def transcript(attack: Attack, seed: int, n_queries: int = 60) -> list[Query[Any]]:
    rm = ToyRewardModel()
    search: Generator[Query[Any], Any, None] = attack.search(seed)
    asked: list[Query[Any]] = []
    try:
        query = next(search)
        while len(asked) < n_queries:
            asked.append(query)
            query = search.send(answer(rm, query, attack.prompts_per_attempt))
    except StopIteration:
        pass
    return asked


@attacks
def test_the_same_seed_asks_the_same_queries(attack: Attack) -> None:
    assert transcript(attack, 7) == transcript(attack, 7)


@attacks
def test_texts_are_non_empty_and_claims_match_them(attack: Attack) -> None:
    scores = [query for query in transcript(attack, 1) if isinstance(query, Score)]
    assert scores
    for query in scores:
        assert query.texts
        assert all(isinstance(text, str) and text.strip() for text in query.texts)
        assert len(set(query.texts)) == len(query.texts), "a text is asked once per query"
        assert len(query.constructions) in (0, len(query.texts))
        assert set(query.constructions) <= CLAIMS


@attacks
def test_params_are_plain_json(attack: Attack) -> None:
    digest(attack.params)
    assert type(attack)(**attack.params) == attack


@attacks
def test_needs_names_every_query_that_a_campaign_may_not_answer(attack: Attack) -> None:
    asked = {type(query) for query in transcript(attack, 3)}
    assert {kind for kind in asked if issubclass(kind, (GradientQuery, PolicyQuery, Seeds, Carried))} == set(
        attack.needs
    )


def test_searches_with_other_seeds_differ() -> None:
    seeded = [kind() for kind in BUILT_IN if kind.name != "single_token"]
    assert len(seeded) == len(BUILT_IN) - 1
    for attack in seeded:
        assert transcript(attack, 1, 120) != transcript(attack, 2, 120), attack.name


def test_importing_attacks_does_not_import_torch() -> None:
    code = "import sys, attacks; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_single_token_scores_every_token_exactly_once() -> None:
    scores = [query for query in transcript(known_attacks()["single_token"](), 0) if isinstance(query, Score)]
    texts = [text for query in scores for text in query.texts]
    assert sorted(texts) == sorted(ToyRewardModel().all_tokens())


def test_corrupt_claims_only_what_cannot_be_sense() -> None:
    scores = [query for query in transcript(known_attacks()["corrupt"](), 0) if isinstance(query, Score)]
    claim_of = {text: claim for query in scores for text, claim in zip(query.texts, query.constructions, strict=True)}
    assert {"repeated_token", "random_words", "shuffled_words", "gibberish"} <= set(claim_of.values())
    assert claim_of["another good answer."] is None, "another prompt's answer is not nonsense"
    assert claim_of[REFERENCE.replace(".", "")] is None, "missing punctuation is not nonsense"
    truncated = REFERENCE.split()[0]
    assert claim_of[truncated] is None, "truncation is not nonsense"
    for text, claim in claim_of.items():
        if claim == "repeated_token":
            assert len(set(text.split())) == 1
        if claim == "shuffled_words":
            assert sorted(text.split()) == sorted(REFERENCE.split())


@attacks
def test_with_its_minimum_budget_a_search_gets_through_a_step(attack: Attack) -> None:
    """The texts and gradients asked for before the second round of scoring fit the least budget, whatever it is."""
    if attack.min_budget == 1:
        return
    spent, rounds = 0, 0
    for query in transcript(attack, 5):
        if isinstance(query, GradientQuery):
            spent += 3 * query.n_gradients
        if isinstance(query, Score):
            spent += len(query.texts) * (len(query.prompts) or attack.prompts_per_attempt)
            rounds += len(query.texts) > 1
        if rounds:
            break
    assert rounds
    assert spent <= attack.min_budget


def answered(search: Search, answers: dict[type, list[Any]]) -> None:
    """Send each query the first answer of its kind that is left; the last one stays."""
    query = next(search)
    for _ in range(200):
        left = answers[type(query)]
        query = search.send(left.pop(0) if len(left) > 1 else left[0])
    raise AssertionError("it asks on and on")


def test_climbing_ends_where_no_edit_survives_any_more() -> None:
    answers: dict[type, list[Any]] = {
        Words: [("ba", "ke")],
        Swaps: [((Swap(0, 2, "li"),), ()), ((), ())],
        RandomSwaps: [()],
        Score: [np.zeros((1, 1))],
    }
    with pytest.raises(StopIteration):
        answered(known_attacks()["gcg"]().search(0), answers)


@pytest.mark.parametrize("name", ["gcg", "random", "universal"])
def test_a_search_of_which_no_edit_survives_says_so_instead_of_ending(name: str) -> None:
    attack = known_attacks()[name]()
    answers: dict[type, list[Any]] = {
        Words: [("ba", "ke")],
        Swaps: [((), ())],
        RandomSwaps: [()],
        Tasks: [(Task("What does ba do?", REFERENCE),) * attack.prompts_per_attempt],
        Score: [np.zeros((1, attack.prompts_per_attempt))],
    }
    with pytest.raises(NothingToTryError, match="no single-token edit of 'ba ke' survives"):
        answered(attack.search(0), answers)


def test_guided_ends_when_a_pass_brings_no_new_text() -> None:
    scores = [q for q in transcript(Guided(k=2, max_tokens=3), 0, 3000) if isinstance(q, Score)]
    assert 0 < sum(len(q.texts) for q in scores) < 200


def test_a_campaign_files_list_of_cells_makes_the_same_archive() -> None:
    read: Any = [6, 4, 4]
    assert Archive(cells=read) == Archive()
    assert {Archive(cells=read)} == {Archive()}
