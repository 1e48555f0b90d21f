"""Every kind of policy keeps the contract of ``Policy``, those of other packages on this machine, too."""

from __future__ import annotations

import numpy as np
import pytest

from corpus.records import Message
from miner.config.campaign import PolicySection
from miner.config.kinds import BUILT_IN, POLICIES, imported, known_kinds
from miner.language_models.policies import Policy, open_policy
from miner.language_models.training import LanguageModelRecipe, train_language_model

PROMPT = (Message(role="user", content="What does `open` do?"),)
TEXTS = ("Return the name of the file.", "", "a", "Open the given path and read the first line of it.")
SAMPLES, MAX_NEW_TOKENS = 6, 8


@pytest.fixture(scope="module", params=sorted(known_kinds(POLICIES)))
def policy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Policy:
    folder = tmp_path_factory.mktemp("policy")
    if request.param == "causal":
        recipe = LanguageModelRecipe(
            vocabulary=300, hidden=16, layers=1, heads=2, steps=10, batch_rows=4, row_tokens=32, max_length=48
        )
        train_language_model(TEXTS * 20, recipe, out=folder, seed=0, progress=lambda _done, _total: None)
        return open_policy(PolicySection(source=str(folder)), device="cpu")
    example = known_kinds(POLICIES)[request.param].example
    assert example, f"kind {request.param!r} brings no example to test it on"
    return open_policy(PolicySection.model_validate(imported(example)(folder)), device="cpu")


def test_it_has_a_name_and_a_fingerprint(policy: Policy) -> None:
    assert policy.name
    assert policy.fingerprint
    assert policy.dtype


def test_the_same_seed_samples_the_same_texts(policy: Policy) -> None:
    one, again = (policy.sample(PROMPT, SAMPLES, seed=5, max_new_tokens=MAX_NEW_TOKENS) for _ in range(2))
    assert one == again
    assert len(one.continuations) == SAMPLES
    assert one.policy_tokens > 0
    assert all(np.isfinite(found.log_probability) and found.log_probability <= 0 for found in one.continuations)


def test_other_seeds_sample_other_texts(policy: Policy) -> None:
    drawn = {policy.sample(PROMPT, SAMPLES, seed=n, max_new_tokens=MAX_NEW_TOKENS).continuations for n in range(8)}
    assert len(drawn) > 1


def test_likelihoods_do_not_depend_on_company(policy: Policy) -> None:
    together, backwards = policy.token_nll(TEXTS), policy.token_nll(TEXTS[::-1])[::-1]
    assert [len(nll) for nll in together][1] == 0
    assert all(len(nll) for text, nll in zip(TEXTS, together, strict=True) if text)
    for one, other in zip(together, backwards, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
        assert (one >= 0).all()


def test_next_tokens_begin_with_what_was_given(policy: Policy) -> None:
    rows, tokens = policy.next_tokens(PROMPT, ("", "Return the"), 3)
    assert len(rows) == 2
    assert all(0 < len(row) <= 3 for row in rows)
    assert all(found.text.startswith("Return the") for found in rows[1])
    assert tokens > 0


def test_every_kind_of_ours_is_tested_here() -> None:
    assert set(BUILT_IN[POLICIES]) == {"causal"}
