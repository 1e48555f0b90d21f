"""A reference LM that descends from the RM's own backbone is found out by its weights, and by its family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from miner.campaigns.kinship import kinship
from miner.language_models import load_language_model
from miner.rewards import load_reward_model
from tests.rewards.tokenizers import byte_level, fast

TEMPLATE = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"


def config(hidden: int = 32) -> LlamaConfig:
    return LlamaConfig(  # type: ignore[call-arg]
        vocab_size=520, hidden_size=hidden, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=128, num_labels=1, pad_token_id=1, bos_token_id=0,
        eos_token_id=1, initializer_range=0.1,
    )  # fmt: skip


def saved(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    fast(
        byte_level(["<s>", "</s>"]), template=TEMPLATE, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    ).save_pretrained(folder)
    return folder


@pytest.fixture
def rm_and_backbone(tmp_path: Path) -> tuple[Any, LlamaForSequenceClassification]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForSequenceClassification(config())
    rm = load_reward_model(saved(model, tmp_path / "rm"), device="cpu", dtype="float32")
    return rm, model


def lm(folder: Path, *, backbone: Any = None, hidden: int = 32, seed: int = 1) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config(hidden))
        if backbone is not None:
            model.model.load_state_dict(backbone.model.state_dict())
            for weight in model.parameters():
                weight.data.add_(0.01 * torch.randn_like(weight))
    return load_language_model(saved(model, folder), device="cpu")


def test_a_child_of_the_same_backbone_is_a_relative(
    rm_and_backbone: tuple[Any, LlamaForSequenceClassification], tmp_path: Path
) -> None:
    rm, backbone = rm_and_backbone
    why = kinship(rm, lm(tmp_path / "lm", backbone=backbone))
    assert why is not None
    assert "point the same way (mean cosine 0.9" in why


def test_another_size_of_the_family_is_one_too(
    rm_and_backbone: tuple[Any, LlamaForSequenceClassification], tmp_path: Path
) -> None:
    assert kinship(rm_and_backbone[0], lm(tmp_path / "lm", hidden=48)) == "both are llama models with one tokenizer"


def test_an_lm_with_weights_of_its_own_is_none(
    rm_and_backbone: tuple[Any, LlamaForSequenceClassification], tmp_path: Path, tiny_rm_folder: Path
) -> None:
    stranger = lm(tmp_path / "lm")
    assert kinship(rm_and_backbone[0], stranger) is None
    encoder = load_reward_model(tiny_rm_folder, device="cpu", dtype="float32")
    assert kinship(encoder, stranger) is None
