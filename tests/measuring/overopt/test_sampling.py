"""The sampler against plain ``generate``, and against its own distribution."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from miner.language_models import LanguageModel, load_language_model
from miner.language_models.reading import diverge
from miner.language_models.sampling import BrokenPolicyError, sample_ids
from miner.measuring.overopt.measuring import decoding, repetition

PROMPTS = ["Question 1?", "Question 12? and then", "Q"]


@pytest.fixture(scope="module")
def lm(tiny_policy: Path) -> LanguageModel:
    return load_language_model(tiny_policy, device="cpu")


def encoded(lm: LanguageModel) -> list[list[int]]:
    return [lm.tokenizer(text)["input_ids"] for text in PROMPTS]


def test_cold_samples_are_what_generate_writes_greedily(lm: LanguageModel) -> None:
    cold = replace(decoding(lm, 10, 0), temperature=1e-4)
    ours = sample_ids(lm.model, encoded(lm), cold, per_prompt=2)
    assert len(ours) == 2 * len(encoded(lm)) > 0
    for at, ids in enumerate(encoded(lm)):
        generate: Any = lm.model.generate
        output = generate(
            torch.tensor([ids]), max_new_tokens=10, do_sample=False, eos_token_id=list(lm.end_tokens), pad_token_id=2
        )
        assert ours[2 * at] == ours[2 * at + 1] == output[0, len(ids) :].tolist()


def test_rows_that_end_leave_the_others_as_they_are(lm: LanguageModel) -> None:
    """Ended rows leave the batch: what is left must go on with its own cache."""
    ends = replace(decoding(lm, 12, 0), end_tokens=tuple(range(3, 200)), temperature=1e-4)
    alone = [sample_ids(lm.model, [ids], ends)[0] for ids in encoded(lm)]
    assert sample_ids(lm.model, encoded(lm), ends) == alone


def test_no_answer_ends_before_its_time(lm: LanguageModel) -> None:
    always = tuple(range(lm.model.config.vocab_size // 2))
    early = replace(decoding(lm, 6, 0), end_tokens=always)
    late = replace(early, min_new_tokens=6)
    torch.manual_seed(0)
    assert min(map(len, sample_ids(lm.model, encoded(lm), early, per_prompt=8))) < 6
    assert {len(row) for row in sample_ids(lm.model, encoded(lm), late, per_prompt=8)} == {6}


def test_a_generator_decides_and_leaves_the_global_one_alone(lm: LanguageModel) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, second = (
        sample_ids(lm.model, encoded(lm), decoding(lm, 8, 0), generator=torch.Generator().manual_seed(5))
        for _ in range(2)
    )
    assert first == second
    assert torch.equal(before, torch.get_rng_state())


def test_broken_weights_are_named(lm: LanguageModel, tiny_policy: Path) -> None:
    broken = load_language_model(tiny_policy, device="cpu").model
    next(iter(broken.parameters())).data.fill_(float("nan"))
    with pytest.raises(BrokenPolicyError, match="not finite"):
        sample_ids(broken, encoded(lm), decoding(lm, 4, 0))


@pytest.mark.parametrize("min_new_tokens", [0, 3])
def test_divergence_is_the_mean_log_ratio_of_samples(lm: LanguageModel, tiny_policy: Path, min_new_tokens: int) -> None:
    """Of the policies sampled from: an end that is never drawn is no part of either."""
    moved = load_language_model(tiny_policy, device="cpu").model
    torch.manual_seed(0)
    for weight in moved.parameters():
        weight.data.add_(0.02 * torch.randn_like(weight))
    prompts = [ids for ids in encoded(lm) for _ in range(200)]
    for model in (moved, lm.model):
        assert min_new_tokens == 0 or _end_odds(model, prompts[0], lm.end_tokens) > 1e-4
    drawn = decoding(lm, 6, min_new_tokens)
    answers = sample_ids(moved, encoded(lm), drawn, per_prompt=200)
    found = diverge(moved, lm.model, prompts, answers, barred=drawn.barred)
    ratios = []
    for ids, answer in zip(prompts, answers, strict=True):
        row = torch.tensor([[*ids, *answer]])
        with torch.inference_mode():
            both = [m(input_ids=row).logits[0, len(ids) - 1 : -1] for m in (moved, lm.model)]
            for logits in both:
                logits[:min_new_tokens, list(lm.end_tokens)] = float("-inf")
            both = [logits.log_softmax(-1) for logits in both]
        at = torch.tensor(answer)[:, None]
        ratios.append(float((both[0].gather(1, at) - both[1].gather(1, at)).sum()))
    mean = sum(ratios) / len(ratios)
    error = 4 * float(torch.tensor(ratios).std()) / len(ratios) ** 0.5
    assert found.kl.min() >= -1e-4
    assert abs(found.kl.mean() - mean) < error


def _end_odds(model: Any, ids: list[int], ends: tuple[int, ...]) -> float:
    with torch.inference_mode():
        return float(model(input_ids=torch.tensor([ids])).logits[0, -1].softmax(-1)[list(ends)].sum())


def test_repetition_counts_pairs_seen_before() -> None:
    assert repetition("to or to or to or") == pytest.approx(3 / 5)
    assert repetition("one word") == repetition("") == 0
