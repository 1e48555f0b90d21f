"""A pairwise RM's reward is the swap-averaged log-odds of beating the reference, however it is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from attacks.climb import apply_all
from corpus.records import Prompt
from miner.campaigns.evaluation import clean_outcomes
from miner.errors import CapabilityError, ModelError, TooLongError
from miner.judging.criteria import MIN_CLEAN, clean_criteria
from miner.rewards.base import Pair, RelaxRequest, SwapRequest
from tests.rewards.asking_models import JOINT, PAIRWISE, REFERENCES, TEMPLATE, opened, plain_pairwise, ways
from tests.rewards.models import PAIRS, conversation

FolderOf = Callable[[str], Path]
RmOf = Callable[[str], Any]

TOLERANCE = 1e-4
STEP = 3e-4
PROMPT = PAIRS[0].prompt
TEXT = "It opens a file, reads the text and closes it"


@pytest.fixture(scope="module")
def rm_of(asking_folder_of: FolderOf) -> RmOf:
    """The pairwise RM named in ``PAIRWISE``."""
    return cache(lambda name: opened(asking_folder_of(PAIRWISE[name][0]), "pairwise", PAIRWISE[name][1]))


@pytest.mark.parametrize("name", PAIRWISE)
def test_reward_is_plain_transformers_in_both_orders_however_it_is_asked(
    name: str, rm_of: RmOf, asking_folder_of: FolderOf
) -> None:
    model, asked = PAIRWISE[name]
    expected = np.array([plain_pairwise(asking_folder_of(model), asked, pair) for pair in PAIRS])
    assert np.ptp(expected) > 0.3
    for way, ask in ways(rm_of(name)).items():
        np.testing.assert_allclose(ask(PAIRS), expected, atol=TOLERANCE, err_msg=way)


@pytest.mark.parametrize("name", PAIRWISE)
def test_a_against_b_is_minus_b_against_a(name: str, rm_of: RmOf) -> None:
    rm = rm_of(name)
    for one, other in ((TEXT, "A servant counts to 12."), ("", TEXT), ("12\n\n34", "good")):
        rewards = [
            replace(rm, references={PROMPT: reference}).reward(Pair(PROMPT, response))
            for reference, response in ((one, other), (other, one))
        ]
        assert rewards[0] == pytest.approx(-rewards[1], abs=TOLERANCE)
        assert abs(rewards[0]) > TOLERANCE


@pytest.mark.parametrize("name", PAIRWISE)
def test_one_order_alone_is_not_symmetric(name: str, rm_of: RmOf) -> None:
    """So it is the averaging that makes it so."""
    rm = rm_of(name)
    first, second = (rm.comparer.reward(one) for one in rm._both_orders(PAIRS[0]))
    assert abs(first + second) > TOLERANCE


@pytest.mark.parametrize("name", PAIRWISE)
def test_the_reference_gets_exactly_zero_in_any_company(name: str, rm_of: RmOf) -> None:
    references = [Pair(prompt, text) for prompt, text in REFERENCES.items()]
    asked = ways(rm_of(name))
    assert len(asked) > 3
    for way, ask in asked.items():
        assert ask([*PAIRS, *references])[len(PAIRS) :].tolist() == [0.0] * len(references), way


def shifted_reward(rm: Any, pair: Pair, position: int, change: torch.Tensor) -> float:
    """The comparer's reward with one token's embedding moved."""

    def move(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        moved = output.clone()
        moved[0, position] += change
        return moved

    hook = rm.comparer.model.get_input_embeddings().register_forward_hook(move)
    try:
        return float(rm.comparer.reward(pair))
    finally:
        hook.remove()


@pytest.mark.parametrize("name", PAIRWISE)
def test_gain_is_the_slope_of_the_averaged_reward(name: str, rm_of: RmOf) -> None:
    rm = rm_of(name)
    (table,) = rm.swaps([SwapRequest(prompts=(PROMPT,), weights=(1.0,), response=TEXT, k=1)])
    orders = rm._both_orders(Pair(PROMPT, TEXT))
    encoded = [rm.comparer.pipeline.encode(one) for one in orders]
    rows, checked = rm.comparer.embedding_rows(), 0
    for place, swaps in enumerate(table):
        for swap in swaps:
            after = [rm.comparer.pipeline.ids([replace_response(one, swap.apply(TEXT))])[0][0] for one in orders]
            changed = [
                [i for i, (old, new) in enumerate(zip(one.ids, ids, strict=True)) if old != new]
                for one, ids in zip(encoded, after, strict=True)
            ]
            assert changed == [[one.positions[place]] for one in encoded], "one token, in either order"
            changes = [
                rows[ids[at]] - rows[one.ids[at]] for one, ids, (at,) in zip(encoded, after, changed, strict=True)
            ]
            ahead, behind = (_slope(rm, orders, changed, changes, step) for step in (STEP, -STEP))
            if ahead != pytest.approx(behind, rel=0.05, abs=0.02):
                continue  # a kink: there is no slope to compare with
            slope = (ahead + behind) / 2
            assert swap.gain == pytest.approx(slope, rel=0.1, abs=0.05)
            checked += 1
    assert checked > 5


def _slope(rm: Any, orders: Any, changed: Any, changes: Any, step: float) -> float:
    """The averaged reward's one-sided slope along the changes of embedding, by a difference of that step."""
    first, second = (
        (shifted_reward(rm, pair, at, step * change) - shifted_reward(rm, pair, at, 0 * change)) / step
        for pair, (at,), change in zip(orders, changed, changes, strict=True)
    )
    return (first - second) / 2


def replace_response(pair: Pair, response: str) -> Pair:
    return Pair(pair.prompt, response)


@pytest.mark.parametrize("name", ["answer, chat", "PairRM", "answer, T5"])
def test_a_climb_by_gradient_raises_the_reward(name: str, rm_of: RmOf) -> None:
    rm = rm_of(name)
    best = Pair(PROMPT, TEXT)
    for _ in range(3):
        (table,) = rm.swaps([SwapRequest(prompts=(PROMPT,), weights=(1.0,), response=best.response, k=4)])
        tried = [Pair(PROMPT, apply_all(best.response, [swap])) for swaps in table for swap in swaps]
        best = max([best, *tried], key=rm.reward)
    assert rm.reward(best) > rm.reward(Pair(PROMPT, TEXT)) + 0.1


@pytest.mark.parametrize("name", PAIRWISE)
def test_random_swaps_change_one_token_in_either_order(name: str, rm_of: RmOf) -> None:
    rm = rm_of(name)
    swaps = rm.random_swaps(Pair(PROMPT, TEXT), 8, np.random.default_rng(0))
    assert len(swaps) == 8
    for swap in swaps:
        for one in rm._both_orders(Pair(PROMPT, TEXT)):
            before, after = (
                rm.comparer.pipeline.ids([replace_response(one, text)])[0][0] for text in (TEXT, swap.apply(TEXT))
            )
            assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


def test_attributions_sum_to_what_the_response_adds(rm_of: RmOf) -> None:
    rm = rm_of("one logit")
    shares = rm.attributions(Pair(PROMPT, TEXT), 64)
    assert shares
    assert all(0 <= share.start < share.end <= len(TEXT) for share in shares)
    halves = [sum(s.value for s in rm.comparer.attributions(one, 64)) for one in rm._both_orders(Pair(PROMPT, TEXT))]
    assert sum(share.value for share in shares) == pytest.approx((halves[0] - halves[1]) / 2, abs=TOLERANCE)


def test_soft_tokens_are_read_off_as_texts(rm_of: RmOf) -> None:
    request = RelaxRequest(
        pair=Pair(PROMPT, "the file of the words"), steps=4, readouts=2, learning_rate=3.0, temperature=0.5, seed=0
    )
    (texts,) = rm_of("one logit").relax([request])
    assert texts
    assert all(isinstance(text, str) and text for text in texts)


def test_low_precision_ranks_and_fp32_confirms(asking_folder_of: FolderOf) -> None:
    for name in ("answer, chat", "PairRM", "two labels, decoder"):
        model, asked = PAIRWISE[name]
        rm = opened(asking_folder_of(model), "pairwise", asked, dtype="bfloat16")
        exact = [plain_pairwise(asking_folder_of(model), asked, pair) for pair in PAIRS]
        assert (rm.reward_dtype, rm.ranking_dtype) == ("float32", "bfloat16")
        np.testing.assert_allclose(rm.exact_rewards(PAIRS), exact, atol=TOLERANCE)
        assert np.corrcoef(rm.rewards(PAIRS), exact)[0, 1] > 0.9
        assert np.abs(rm.rewards(PAIRS) - exact).max() > TOLERANCE


def test_over_long_input_is_an_error_whatever_is_asked(rm_of: RmOf) -> None:
    long = Pair(PROMPT, "It opens a file. " * 700)
    for name in ("answer, chat", "PairRM"):
        assert rm_of(name).comparer.pipeline.max_length == (2048 if name == "PairRM" else 512)
        for ask in (
            rm_of(name).reward,
            lambda pair, name=name: rm_of(name).rewards([*PAIRS, pair]),
            rm_of(name).n_tokens,
        ):
            with pytest.raises(TooLongError, match=r"over its maximum of \d+"):
                ask(long)


def test_what_looks_like_a_slot_in_an_answer_is_text(rm_of: RmOf) -> None:
    rm = replace(rm_of("answer, plain text"), references={PROMPT: "Not {a}, {prompt}!"})
    first, _ = rm._both_orders(Pair(PROMPT, "{prompt} and {b}"))
    _, found, answers = rm.comparer.pipeline.render(first).partition("RESPONSE A: ")
    assert found
    assert answers.startswith("{prompt} and {b}\n\nRESPONSE B: Not {a}, {prompt}!\n\n")


def test_a_prompt_without_a_reference_is_refused_by_name(rm_of: RmOf) -> None:
    rm = rm_of("one logit")
    lone = conversation("What is left?")
    with pytest.raises(
        ModelError, match=r"one_logit_encoder only compares, and 'What is left\?' has no reference to beat"
    ):
        rm.reward(Pair(lone, "Nothing."))
    prompts = [
        Prompt(conversation=PROMPT, reference="x", split="held_out"),
        Prompt(conversation=lone, split="held_out"),
    ]
    with pytest.raises(
        ModelError, match="1 of 2 prompts of the held_out split have no reference, such as 'What is left"
    ):
        rm.require_prompts(prompts)


def clean_prompts(*, rejected: bool) -> list[Prompt]:
    return [
        Prompt(
            conversation=conversation(f"What is {n}?"),
            reference=f"It is number {n}, and good.",
            rejected=(f"It opens {n} files.",) if rejected else (),
        )
        for n in range(MIN_CLEAN)
    ]


@pytest.mark.parametrize("rejected", [True, False])
def test_the_bar_is_what_clean_second_answers_reach(rejected: bool, rm_of: RmOf) -> None:
    prompts = clean_prompts(rejected=rejected)
    rm = replace(rm_of("one logit"), references={p.conversation: str(p.reference) for p in prompts})
    criteria = clean_criteria(rm, prompts, quantile=0.95)
    others = [*prompts[1:], prompts[0]]
    seconds = [p.rejected[0] if rejected else str(q.reference) for p, q in zip(prompts, others, strict=True)]
    rewards = rm.exact_rewards([Pair(p.conversation, text) for p, text in zip(prompts, seconds, strict=True)])
    assert criteria.threshold == pytest.approx(np.quantile(rewards, 0.95))
    assert criteria.clean_std == pytest.approx(rewards.std())
    assert criteria.n == MIN_CLEAN
    over, under = max(criteria.threshold, 0) + 0.01, max(criteria.threshold, 0) - 0.01
    assert criteria.wins(over, 0.0)
    assert not criteria.wins(under, 0.0)


def test_clean_accuracy_is_how_often_rejected_answers_lose(rm_of: RmOf) -> None:
    prompts = clean_prompts(rejected=True)
    rm = replace(rm_of("one logit"), references={p.conversation: str(p.reference) for p in prompts})
    outcomes = clean_outcomes(rm, prompts)
    assert outcomes is not None
    assert list(outcomes.preferred) == [rm.reward(Pair(p.conversation, p.rejected[0])) < 0 for p in prompts]


def test_it_is_not_retrained_here(rm_of: RmOf) -> None:
    from miner.patching.trainable import trainable

    assert not rm_of("one logit").is_trainable
    with pytest.raises(CapabilityError, match="cannot be retrained here"):
        trainable(rm_of("one logit"))


ANSWER = {"layout": "answer", "template": TEMPLATE}
LABELS = {"layout": "labels", "template": JOINT}
UNHAPPY: dict[str, tuple[str, dict[str, Any], str]] = {
    "an answer of two tokens": ("lm", {**ANSWER, "answers": ["Alpha", "B"]}, "not one token"),
    "equal answers": ("lm", {**ANSWER, "answers": ["A", "A"]}, "the same token"),
    "no LM": ("two_label_encoder", ANSWER, "expected one that ends in ForCausalLM"),
    "no classifier": ("lm", LABELS, "expected one that ends in ForSequenceClassification"),
    "no chat template": ("two_label_encoder", {**LABELS, "chat": True}, "no chat template"),
    "no PairRM": ("pairrm_without_markers", {"layout": "pairrm"}, "needs source_prefix_id"),
    "three labels": ("three_label_encoder", LABELS, "has 3 labels"),
    "an ending tokenizer": ("ending_lm", ANSWER, "ends every text with </s>"),
    "no such folder": ("", {"layout": "pairrm"}, "no model folder"),
}


@pytest.mark.parametrize("case", UNHAPPY)
def test_a_model_that_cannot_be_asked_so_is_refused_on_one_line(
    case: str, asking_folder_of: FolderOf, tmp_path: Path
) -> None:
    name, asked, message = UNHAPPY[case]
    with pytest.raises(ModelError, match=message) as refusal:
        opened(asking_folder_of(name) if name else tmp_path / "none", "pairwise", asked)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"kind": "pairwise"}, r"a table \[rm.pairwise\] belongs to kind 'pairwise'"),
        ({"pairwise": {"layout": "pairrm"}}, r"a table \[rm.pairwise\] belongs to kind 'pairwise'"),
        ({"kind": "pairwise", "pairwise": {"layout": "answer"}}, "which need it"),
        ({"kind": "pairwise", "pairwise": {"layout": "pairrm", "template": "x"}}, "which need it"),
        ({"kind": "pairwise", "pairwise": {"layout": "answer", "template": "{prompt} {a}"}}, r"has to hold \{b\} once"),
        (
            {"kind": "pairwise", "truncation": "left", "pairwise": {"layout": "pairrm"}},
            "would cut what a pairwise RM is asked",
        ),
    ],
)
def test_a_table_that_says_too_little_is_refused(table: dict[str, Any], message: str) -> None:
    from miner.config.reward_model import RewardModelSection

    with pytest.raises(ValidationError, match=message):
        RewardModelSection.model_validate({"source": "x", **table})
