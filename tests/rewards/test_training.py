"""What training and attribution differentiate is the reward itself, also through peft's wrapper."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.rewards.conformance import TOLERANCE, Rewards
from tests.rewards.models import ARCHITECTURES, PAIRS, head_of

RmOf = Callable[[str], Any]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_logits_for_training_are_the_rewards_and_reach_the_head(
    name: str, rm_of: RmOf, expected_of: Callable[[str], Rewards]
) -> None:
    rm = rm_of(name)
    trainee = copy.deepcopy(rm.model).requires_grad_(True)
    logits = rm.logits_for_training(trainee, rm.pipeline.ids(PAIRS))
    np.testing.assert_allclose(logits.detach().numpy(), expected_of(name), atol=TOLERANCE)
    logits.sum().backward()
    gradient = head_of(trainee).weight.grad
    assert gradient is not None
    assert gradient.abs().max() > 0
    assert trainee.get_input_embeddings().weight.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in rm.model.parameters())


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft 0.21 asks transformers 5.24 so
@pytest.mark.parametrize(("name", "layer"), [("llama", "q_proj"), ("bert", "query")])
def test_lora_adapters_take_part_in_training(name: str, layer: str, rm_of: RmOf) -> None:
    peft = pytest.importorskip("peft")
    rm = rm_of(name)
    trainee = peft.get_peft_model(
        copy.deepcopy(rm.model), peft.LoraConfig(r=2, target_modules=[layer], init_lora_weights=False)
    )
    rm.logits_for_training(trainee, rm.pipeline.ids(PAIRS[:2])).sum().backward()
    adapters = [parameter for key, parameter in trainee.named_parameters() if "lora_" in key]
    assert adapters
    assert all(parameter.grad is not None and torch.any(parameter.grad != 0) for parameter in adapters)
