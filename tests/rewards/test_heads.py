"""Heads of other names and shapes are read by configuration, and what does not fit is refused with what would."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from miner.config.reward_model import RewardModelSection
from miner.errors import ModelError, TooLongError
from miner.patching.preference_trainer import Recipe, TrainingPair, train_preferences
from miner.rewards.base import SwapRequest
from miner.rewards.loading.classifiers import open_classifier
from tests.rewards.conformance import TOLERANCE, inputs_of, violations
from tests.rewards.heads import Built
from tests.rewards.models import PAIRS, conversation


def mean(hidden: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
    del ids
    return hidden.mean(0)


def first(hidden: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
    del ids
    return hidden[0]


def last_end(hidden: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
    return hidden[max(i for i, token in enumerate(ids) if token == 1)]


@dataclass(frozen=True, kw_only=True)
class Case:
    built: Built
    head: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)


CASES = {
    "linear v_head": Case(built=Built(), head={"weights": "v_head"}),
    "bias, a bare backbone": Case(
        built=Built(prefix="", layers={"regression_head": (1, True)}), head={"weights": "regression_head"}
    ),
    "another prefix": Case(built=Built(prefix="transformer."), head={"weights": "v_head"}),
    "two layers": Case(
        built=Built(layers={"v_head.summary.0": (16, True), "v_head.summary.2": (1, True)}),
        head={"weights": "v_head.summary", "activation": "relu"},
    ),
    "two layers, named": Case(
        built=Built(layers={"score_head.dense": (32, True), "score_head.out_proj": (1, False)}, activation=torch.tanh),
        head={"weights": "score_head", "activation": "tanh"},
    ),
    "a nested linear": Case(
        built=Built(architecture="qwen3", layers={"score_head.out_proj": (1, False)}),
        head={"weights": "score_head.out_proj"},
    ),
    "objectives by name": Case(
        built=Built(
            layers={"v_head": (3, False)}, weighting=(0.0, 2.0, -1.0), config={"id2label": {0: "a", 1: "b", 2: "c"}}
        ),
        head={"weights": "v_head", "objectives": {"b": 2.0, "c": -1.0}},
    ),
    "objectives as a list": Case(
        built=Built(layers={"v_head": (2, False)}, weighting=(0.25, 0.75)),
        head={"weights": "v_head", "objectives": [0.25, 0.75]},
    ),
    "mean of a decoder": Case(
        built=Built(architecture="gpt_neox", prefix="gpt_neox.", layers={"out_proj": (1, True)}, read=mean),
        head={"weights": "out_proj", "read_at": "mean"},
    ),
    "the last of a token": Case(
        built=Built(read=last_end), head={"weights": "v_head", "read_at": "last_token_id:1"}
    ),
    "an appended token": Case(built=Built(append=7), head={"weights": "v_head", "append_token": 7}),
    "an encoder's first": Case(
        built=Built(architecture="deberta_v2", prefix="deberta.", read=first), head={"weights": "v_head"}
    ),
    "an encoder's mean": Case(
        built=Built(architecture="bert", prefix="bert.", read=mean), head={"weights": "v_head", "read_at": "mean"}
    ),
    "a window": Case(built=Built(architecture="gemma2"), head={"weights": "v_head"}),
    "a type that transformers does not know": Case(
        built=Built(
            architecture="gpt_neox", prefix="gpt_neox.", layers={"out_proj": (1, True)},
            config={"model_type": "gpt_neox_reward_model", "pooling": "last"},
        ),
        head={"weights": "out_proj", "backbone": "gpt_neox"},
    ),
}  # fmt: skip


def section(folder: Path, head: dict[str, Any], **settings: Any) -> RewardModelSection:
    given = {"device": "cpu", "dtype": "float32", **settings}
    return RewardModelSection.model_validate({"source": str(folder), "head": head, **given})


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("heads")
    return cache(lambda name: CASES[name].built.save(root / name.replace(" ", "-")))


@pytest.fixture(scope="session")
def headed(saved: Callable[[str], Path]) -> Callable[[str], Any]:
    return cache(lambda name: open_classifier(section(saved(name), CASES[name].head)))


@pytest.mark.parametrize("name", CASES)
def test_the_reward_is_plain_torchs_however_it_is_asked(
    name: str, saved: Callable[[str], Path], headed: Callable[[str], Any]
) -> None:
    assert violations(headed(name), PAIRS, CASES[name].built.plain(saved(name), PAIRS)) == []


@pytest.mark.parametrize("name", CASES)
def test_gradients_reach_the_response(name: str, headed: Callable[[str], Any]) -> None:
    rm = headed(name)
    request = SwapRequest(prompts=(conversation("What is it?"),), weights=(1.0,), response="a tree of files", k=2)
    (table,) = rm.swaps([request])
    gains = [swap.gain for swaps in table for swap in swaps]
    assert gains
    reads_no_response = name == "the last of a token"
    assert reads_no_response or any(abs(gain) > 1e-6 for gain in gains)


@pytest.mark.parametrize("name", ["linear v_head", "another prefix", "two layers", "an encoder's mean"])
def test_a_saved_model_loads_again_with_the_same_section(
    name: str, headed: Callable[[str], Any], tmp_path: Path
) -> None:
    rm = headed(name)
    rm.model.save_pretrained(tmp_path)
    rm.pipeline.tokenizer.save_pretrained(tmp_path)
    again = open_classifier(section(tmp_path, CASES[name].head))
    np.testing.assert_allclose(again.exact_rewards(PAIRS), rm.exact_rewards(PAIRS), atol=TOLERANCE)
    assert again.pipeline_hash == rm.pipeline_hash


def test_a_bf16_ranking_model_reads_in_fp32_and_confirms_exactly(saved: Callable[[str], Path]) -> None:
    case = CASES["two layers"]
    folder = saved("two layers")
    rm = open_classifier(section(folder, case.head, dtype="bfloat16"))
    assert rm.ranking_model.get_submodule("v_head.summary.2").weight.dtype is torch.float32
    expected = case.built.plain(folder, PAIRS)
    np.testing.assert_allclose(rm.exact_rewards(PAIRS), expected, atol=TOLERANCE)
    assert np.corrcoef(rm.rewards(PAIRS), expected)[0, 1] > 0.9


def unseen(done: int, total: int) -> None:
    del done, total


@pytest.mark.parametrize("lora_rank", [0, 2])
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_a_patched_model_loads_again_with_the_same_section(
    lora_rank: int, saved: Callable[[str], Path], tmp_path: Path
) -> None:
    case = CASES["two layers"]
    rm = open_classifier(section(saved("two layers"), case.head))
    rows = rm.pipeline.ids(PAIRS)
    recipe = Recipe(max_steps=6, batch_pairs=2, learning_rate=1e-2, dtype="float32", lora_rank=lora_rank)
    pairs = [TrainingPair(rows[i], rows[i + 1]) for i in range(len(rows) - 1)]
    trained = train_preferences(rm, copy.deepcopy(rm.model), pairs, recipe, out=tmp_path, seed=0, progress=unseen)
    again = open_classifier(section(tmp_path, case.head))
    expected = replace(rm, model=trained, ranking_model=trained).exact_rewards(PAIRS)
    np.testing.assert_allclose(again.exact_rewards(PAIRS), expected, atol=TOLERANCE)
    assert np.abs(expected - rm.exact_rewards(PAIRS)).max() > 0.1
    assert again.fingerprint != rm.fingerprint


def test_the_head_is_part_of_the_pipeline_hash(saved: Callable[[str], Path]) -> None:
    folder = saved("objectives as a list")
    heads: list[dict[str, Any]] = [
        {"objectives": [0.25, 0.75]},
        {"objectives": [1.0, 0.0]},
        {"objectives": [0.25, 0.75], "read_at": "mean"},
        {"objectives": [0.25, 0.75], "append_token": 7},
    ]
    hashes = {open_classifier(section(folder, {"weights": "v_head", **head})).pipeline_hash for head in heads}
    assert len(hashes) == len(heads)
    deep = {
        open_classifier(
            section(saved("two layers"), {"weights": "v_head.summary", "activation": activation})
        ).pipeline_hash
        for activation in ("relu", "tanh", "gelu")
    }
    assert len(deep) == 3


def refusal(folder: Path, head: dict[str, Any]) -> str:
    with pytest.raises(ModelError) as caught:
        open_classifier(section(folder, head))
    assert "\n" not in str(caught.value)
    return str(caught.value)


REFUSED: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "no head named": ("linear v_head", {}, ["RewardModel without a reward head", "--set rm.head.weights=v_head"]),
    "a deep head": ("two layers", {}, ["v_head.summary", "1×16", "--set rm.head.weights=v_head.summary"]),
    "another name": ("linear v_head", {"weights": "score"}, ["no tensor under", "v_head (1×32)", "weights=v_head"]),
    "a block of the backbone": ("linear v_head", {"weights": "model.layers.0.mlp"}, ["does not fit", "v_head (1×32)"]),
    "an embedding": ("linear v_head", {"weights": "model.embed_tokens"}, ["does not fit", "v_head (1×32)"]),
    "no activation": ("two layers", {"weights": "v_head.summary"}, ["2 layers (16×32, 1×16)", "activation=relu"]),
    "no weighting": ("objectives by name", {"weights": "v_head"}, ["3 labels", "0 a, 1 b, 2 c", "{a=1.0}"]),
    "a wrong objective": ("objectives by name", {"weights": "v_head", "objectives": {"d": 1}}, ["no objective 'd'"]),
    "too few weights": ("objectives as a list", {"weights": "v_head", "objectives": [1.0]}, ["weighs 1", "has 2"]),
    "no such token": ("linear v_head", {"weights": "v_head", "append_token": "<no>"}, ["'<no>' is no token"]),
    "no such type": ("linear v_head", {"weights": "v_head", "backbone": "lama"}, ["no model config", "lama"]),
    "another type": ("linear v_head", {"weights": "v_head", "backbone": "gpt_neox"}, ["no trained weights"]),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_a_head_that_does_not_fit_is_refused_with_what_would(fault: str, saved: Callable[[str], Path]) -> None:
    name, head, said = REFUSED[fault]
    message = refusal(saved(name), head)
    for words in said:
        assert words in message


def test_a_text_without_the_token_that_is_read_is_refused(saved: Callable[[str], Path]) -> None:
    rm = open_classifier(section(saved("linear v_head"), {"weights": "v_head", "read_at": "last_token_id:9"}))
    with pytest.raises(ModelError, match=r"does not hold token 9.*append_token=9"):
        rm.reward(PAIRS[0])


def test_a_head_without_its_weights_is_not_drawn_at_random(saved: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved("two layers"), tmp_path / "copy"))
    weights = load_file(folder / "model.safetensors")
    del weights["v_head.summary.2.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert "does not fit" in refusal(folder, CASES["two layers"].head)


def test_a_truncated_text_keeps_the_appended_token(saved: Callable[[str], Path]) -> None:
    head = CASES["an appended token"].head
    rm = open_classifier(section(saved("an appended token"), head, max_length=12, truncation="right"))
    rows = [ids for ids, _ in rm.pipeline.ids(PAIRS)]
    assert all(len(ids) <= 12 and ids[-1] == 7 for ids in rows)
    assert any(len(ids) == 12 for ids in rows)
    strict = open_classifier(section(saved("an appended token"), head, max_length=rm.n_tokens(PAIRS[0]) - 1))
    with pytest.raises(TooLongError):
        strict.reward(PAIRS[0])


def test_classifiers_of_several_labels_take_a_weighting(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    for name in ("llama", "bert"):
        config = hf.AutoConfig.from_pretrained(folder_of(name), num_labels=3)
        config.id2label = {0: "helpful", 1: "correct", 2: "brief"}
        model = hf.AutoModelForSequenceClassification.from_config(config).float().eval()
        folder = tmp_path / name
        model.save_pretrained(folder)
        hf.AutoTokenizer.from_pretrained(folder_of(name)).save_pretrained(folder)
        rm = open_classifier(section(folder, {"objectives": {"helpful": 0.5, "2": -2}}))
        inputs = inputs_of(rm.pipeline.tokenizer, PAIRS[0])
        with torch.no_grad():
            logits = model(**inputs).logits[0]
        assert rm.reward(PAIRS[0]) == pytest.approx(float(0.5 * logits[0] - 2 * logits[2]), abs=1e-4)
        message = refusal(folder, {})
        assert "has 3 labels; a scalar RM has one" in message
        assert "0 helpful, 1 correct, 2 brief" in message


def test_a_head_in_a_file_of_its_own_is_read_beside_an_index(tmp_path: Path) -> None:
    """As trainers of value heads save it; transformers' index does not name it."""
    whole = Built().save(tmp_path / "whole")
    expected = open_classifier(section(whole, {"weights": "v_head"})).exact_rewards(PAIRS)
    folder = Path(shutil.copytree(whole, tmp_path / "sharded"))
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    head = {name: tensor for name, tensor in tensors.items() if name.startswith("v_head")}
    shards: list[dict[str, torch.Tensor]] = [{}, {}]
    for n, (name, tensor) in enumerate(sorted(tensors.items())):
        if name not in head:
            shards[n % 2][name] = tensor
    names = [f"model-0000{n + 1}-of-00002.safetensors" for n in range(2)]
    for name, shard in zip(names, shards, strict=True):
        save_file(shard, folder / name, metadata={"format": "pt"})
    index = {
        "metadata": {},
        "weight_map": {key: name for name, shard in zip(names, shards, strict=True) for key in shard},
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    save_file(head, folder / "value_head.safetensors")
    with pytest.raises(ModelError, match=r"--set rm\.head\.weights=v_head"):
        open_classifier(section(folder, {}))
    rm = open_classifier(section(folder, {"weights": "v_head"}))
    np.testing.assert_allclose(rm.exact_rewards(PAIRS), expected, atol=TOLERANCE)
