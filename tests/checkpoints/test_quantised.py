"""Quantised copies rank, the whole one confirms; checkpoints that come quantised do both, and say in what."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers as hf
from scipy.stats import spearmanr

from miner.config.reward_model import RewardModelSection
from miner.errors import CapabilityError, ModelError
from miner.patching.trainable import trainable
from miner.rewards.base import SwapRequest
from miner.rewards.loading.classifiers import open_classifier
from tests.rewards.conformance import TOLERANCE, Rewards, inputs_of
from tests.rewards.heads import Built
from tests.rewards.models import PAIRS, conversation

FolderOf = Callable[[str], Path]
REQUEST = SwapRequest(prompts=(conversation("What is it?"),), weights=(1.0,), response="a tree of files", k=2)


def section(folder: Path, **settings: Any) -> RewardModelSection:
    return RewardModelSection.model_validate({"source": str(folder), "device": "cpu", "dtype": "float32", **settings})


@pytest.mark.parametrize("name", ["llama", "bert", "gpt_neox"])
def test_int8_ranks_and_fp32_confirms(name: str, folder_of: FolderOf, expected_of: Callable[[str], Rewards]) -> None:
    pytest.importorskip("torchao")
    rm = open_classifier(section(folder_of(name), quantise="int8"))
    assert (rm.reward_dtype, rm.ranking_dtype) == ("float32", "int8:float32")
    np.testing.assert_allclose(rm.exact_rewards(PAIRS), expected_of(name), atol=TOLERANCE)
    ranks = rm.rewards(PAIRS)
    assert spearmanr(ranks, expected_of(name)).statistic > 0.9
    assert np.abs(ranks - expected_of(name)).max() > TOLERANCE  # it does rank in int8
    assert rm.has_gradients
    assert any(abs(swap.gain) > 1e-6 for swaps in rm.swaps([REQUEST])[0] for swap in swaps)
    assert trainable(rm) is rm  # what confirms is whole


def test_a_head_of_its_own_is_not_quantised(tmp_path: Path) -> None:
    pytest.importorskip("torchao")
    rm = open_classifier(section(Built().save(tmp_path / "rm"), head={"weights": "v_head"}, quantise="int8"))
    assert type(rm.ranking_model.get_submodule("v_head").weight.data).__name__ == "Tensor"
    assert type(rm.ranking_model.base_model.get_submodule("layers.0.mlp.up_proj").weight.data).__name__ == "Int8Tensor"


@pytest.fixture
def stored(folder_of: FolderOf, tmp_path: Path) -> Path:
    """A checkpoint that torchao quantised, as transformers saves it."""
    quantization = pytest.importorskip("torchao.quantization")
    config = hf.TorchAoConfig(quantization.Int8WeightOnlyConfig())
    model = hf.AutoModelForSequenceClassification.from_pretrained(folder_of("llama"), quantization_config=config)
    model.save_pretrained(tmp_path / "quantised")
    hf.AutoTokenizer.from_pretrained(folder_of("llama")).save_pretrained(tmp_path / "quantised")
    return tmp_path / "quantised"


def test_a_checkpoint_that_comes_quantised_ranks_and_confirms_as_it_is(stored: Path) -> None:
    rm = open_classifier(section(stored, dtype="bfloat16"))
    assert rm.ranking_model is rm.model
    assert rm.reward_dtype == rm.ranking_dtype == "torchao:float32"
    plain: Any = (
        hf.AutoModelForSequenceClassification.from_pretrained(stored, dtype="float32").eval().requires_grad_(False)
    )
    tokenizer = rm.pipeline.tokenizer
    expected = [plain(**inputs_of(tokenizer, pair)).logits[0, 0].item() for pair in PAIRS]
    np.testing.assert_allclose(rm.exact_rewards(PAIRS), expected, atol=TOLERANCE)
    np.testing.assert_allclose(rm.rewards(PAIRS), expected, atol=TOLERANCE)
    assert rm.has_gradients
    with pytest.raises(CapabilityError, match="cannot be retrained here"):
        trainable(rm)


def test_a_backend_that_is_not_here_is_named(folder_of: FolderOf, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folder_of("llama"), tmp_path / "copy"))
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4, "group_size": 128}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError) as caught:
        open_classifier(section(folder))
    assert "or give the model unquantised" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_torchao_it_is_said_how_to_get_it(folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao", None)
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(ModelError, match="pip install torchao"):
        open_classifier(section(folder_of("llama"), quantise="int8"))


def test_a_quantised_copy_does_not_go_with_a_spread_one(folder_of: FolderOf) -> None:
    with pytest.raises(ModelError, match=r"rm\.quantise asks for another"):
        open_classifier(section(folder_of("llama"), quantise="int8", device_map="auto"))
