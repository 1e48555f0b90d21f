"""LoRA adapters score as peft has them score, train on as whole models, and say what they lack."""

from __future__ import annotations

import copy
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from miner.config.reward_model import RewardModelSection
from miner.errors import ModelError
from miner.patching.preference_trainer import Recipe, TrainingPair, train_preferences
from miner.rewards.loading.classifiers import open_classifier
from tests.rewards.conformance import TOLERANCE, Rewards, inputs_of, violations
from tests.rewards.heads import edit
from tests.rewards.models import PAIRS

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft's, at transformers
TARGETS = {"llama": ["q_proj", "down_proj"], "bert": ["query"], "gpt_neox": ["query_key_value"]}
HEADS = {"bert": "classifier"}


@pytest.fixture
def base(folder_of: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """An architecture as a language model or bare encoder: without a reward head."""

    def save(name: str) -> Path:
        folder = tmp_path / f"base-{name}"
        if not folder.exists():
            model = hf.AutoModelForSequenceClassification.from_pretrained(folder_of(name))
            model.base_model.save_pretrained(folder)
            hf.AutoTokenizer.from_pretrained(folder_of(name)).save_pretrained(folder)
        return folder

    return save


def adapter(base: Path, folder: Path, name: str, *, labels: int = 1, head: bool = True) -> Rewards:
    """Saves a random adapter on ``base`` and its head; rewards as peft gives them."""
    torch.manual_seed(3)
    model = hf.AutoModelForSequenceClassification.from_pretrained(base, num_labels=labels)
    config = peft.LoraConfig(
        r=4, target_modules=TARGETS[name], init_lora_weights=False, task_type="SEQ_CLS",
        modules_to_save=[HEADS.get(name, "score")] if head else None,
    )  # fmt: skip
    wrapped = peft.get_peft_model(model, config).eval()
    with torch.no_grad():
        for key, parameter in wrapped.named_parameters():
            if "modules_to_save" in key:
                parameter.copy_(2 * torch.randn(parameter.shape))
        wrapped.save_pretrained(folder)
        tokenizer = hf.AutoTokenizer.from_pretrained(base)
        return np.array([float(wrapped(**inputs_of(tokenizer, pair)).logits[0, 0]) for pair in PAIRS])


def section(folder: Path, **settings: Any) -> RewardModelSection:
    return RewardModelSection.model_validate({"source": str(folder), "device": "cpu", "dtype": "float32", **settings})


def refusal(folder: Path, **settings: Any) -> str:
    with pytest.raises(ModelError) as caught:
        open_classifier(section(folder, **settings))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", TARGETS)
def test_a_merged_adapter_scores_as_peft_does(name: str, base: Callable[[str], Path], tmp_path: Path) -> None:
    expected = adapter(base(name), tmp_path / "lora", name)
    rm = open_classifier(section(tmp_path / "lora"))
    assert violations(rm, PAIRS, expected) == []
    assert rm.has_gradients


def test_what_ranks_in_bf16_was_merged_in_fp32(base: Callable[[str], Path], tmp_path: Path) -> None:
    expected = adapter(base("llama"), tmp_path / "lora", "llama")
    rm = open_classifier(section(tmp_path / "lora", dtype="bfloat16"))
    np.testing.assert_allclose(rm.exact_rewards(PAIRS), expected, atol=TOLERANCE)
    assert rm.ranking_dtype == "bfloat16"
    merged = copy.deepcopy(rm.model.model).bfloat16().state_dict()
    for key, value in rm.ranking_model.model.state_dict().items():
        assert torch.equal(value, merged[key])


def test_the_fingerprint_is_of_base_and_adapter(base: Callable[[str], Path], tmp_path: Path) -> None:
    adapter(base("llama"), tmp_path / "lora", "llama")
    before = open_classifier(section(tmp_path / "lora")).fingerprint
    moved = Path(shutil.copytree(base("llama"), tmp_path / "moved"))
    assert open_classifier(section(tmp_path / "lora", base=str(moved))).fingerprint == before
    for folder, name, key in (
        (moved, "model.safetensors", "norm.weight"),
        (tmp_path / "lora", "adapter_model.safetensors", "base_model.model.score.weight"),
    ):
        weights = load_file(folder / name)
        weights[key] = weights[key] + 1
        save_file(weights, folder / name, metadata={"format": "pt"})
        after = open_classifier(section(tmp_path / "lora", base=str(moved))).fingerprint
        assert after != before
        before = after


def test_a_patched_adapter_is_saved_as_a_whole_model(base: Callable[[str], Path], tmp_path: Path) -> None:
    adapter(base("llama"), tmp_path / "lora", "llama")
    rm = open_classifier(section(tmp_path / "lora"))
    rows = rm.pipeline.ids(PAIRS)
    pairs = [TrainingPair(rows[i], rows[i + 1]) for i in range(len(rows) - 1)]
    out = tmp_path / "patched"
    recipe = Recipe(max_steps=4, batch_pairs=2, learning_rate=1e-3, dtype="float32")
    train_preferences(rm, copy.deepcopy(rm.model), pairs, recipe, out=out, seed=0, progress=unseen)
    again = open_classifier(section(out, base=str(tmp_path / "nowhere")))  # no longer an adapter: no base is wanted
    assert np.abs(again.exact_rewards(PAIRS) - rm.exact_rewards(PAIRS)).max() > 1e-3


def unseen(done: int, total: int) -> None:
    del done, total


def test_an_adapter_of_several_objectives_takes_a_weighting(base: Callable[[str], Path], tmp_path: Path) -> None:
    first = adapter(base("llama"), tmp_path / "lora", "llama", labels=3)
    rm = open_classifier(section(tmp_path / "lora", head={"objectives": [2.0, 0.0, 0.0]}))
    np.testing.assert_allclose(rm.exact_rewards(PAIRS), 2 * first, atol=TOLERANCE)
    assert "has 3 labels" in refusal(tmp_path / "lora")


def test_a_missing_base_is_named_with_the_fix(base: Callable[[str], Path], tmp_path: Path) -> None:
    adapter(base("llama"), tmp_path / "lora", "llama")
    shutil.move(base("llama"), tmp_path / "elsewhere")
    message = refusal(tmp_path / "lora")
    assert "a LoRA adapter without its base" in message
    assert message.endswith("--set rm.base=FOLDER")
    open_classifier(section(tmp_path / "lora", base=str(tmp_path / "elsewhere")))
    edit(tmp_path / "lora" / "adapter_config.json", base_model_name_or_path=None)
    assert "names no base" in refusal(tmp_path / "lora")


def test_a_base_of_another_shape_is_refused(
    base: Callable[[str], Path], folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    adapter(base("llama"), tmp_path / "lora", "llama")
    assert "does not fit its base" in refusal(tmp_path / "lora", base=str(folder_of("gpt2")))
    wider = hf.LlamaForSequenceClassification(
        hf.AutoConfig.from_pretrained(base("llama"), intermediate_size=56, num_labels=1)
    )
    wider.save_pretrained(tmp_path / "wider")
    hf.AutoTokenizer.from_pretrained(base("llama")).save_pretrained(tmp_path / "wider")
    assert "does not fit its base" in refusal(tmp_path / "lora", base=str(tmp_path / "wider"))


def test_an_adapter_without_a_head_is_refused(base: Callable[[str], Path], tmp_path: Path) -> None:
    adapter(base("llama"), tmp_path / "lora", "llama", head=False)
    weights = load_file(tmp_path / "lora" / "adapter_model.safetensors")
    kept = {key: value for key, value in weights.items() if "score" not in key}  # SEQ_CLS saves it unasked
    save_file(kept, tmp_path / "lora" / "adapter_model.safetensors", metadata={"format": "pt"})
    assert 'modules_to_save=["score"]' in refusal(tmp_path / "lora")


def test_a_pickled_or_torn_adapter_is_refused(base: Callable[[str], Path], tmp_path: Path) -> None:
    adapter(base("llama"), tmp_path / "lora", "llama")
    file = tmp_path / "lora" / "adapter_model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 3])
    assert "\n" not in refusal(tmp_path / "lora")
    file.unlink()
    torch.save({}, tmp_path / "lora" / "adapter_model.bin")
    assert "pickled weights only" in refusal(tmp_path / "lora")
    file.write_bytes(whole)
    (tmp_path / "lora" / "adapter_config.json").write_text("{")
    assert "adapter_config.json is damaged" in refusal(tmp_path / "lora")


def test_settings_that_adapters_do_not_go_with_are_refused(base: Callable[[str], Path], tmp_path: Path) -> None:
    adapter(base("llama"), tmp_path / "lora", "llama")
    assert "merge_and_unload" in refusal(tmp_path / "lora", device_map="auto")
    assert "holds no tensor under rm.head.weights='v_head'" in refusal(tmp_path / "lora", head={"weights": "v_head"})


def test_lora_on_the_head_is_no_head(base: Callable[[str], Path], tmp_path: Path) -> None:
    """A and B on top of a head that nobody saved: it would be drawn anew at every load."""
    model = hf.AutoModelForSequenceClassification.from_pretrained(base("llama"), num_labels=1)
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "score"], init_lora_weights=False)
    peft.get_peft_model(model, config).save_pretrained(tmp_path / "lora")
    assert "base_model.model.score.lora_A.weight" in load_file(tmp_path / "lora" / "adapter_model.safetensors")
    assert "holds a reward head: a random head" in refusal(tmp_path / "lora")
    edit(base("llama") / "config.json", architectures=["LlamaForSequenceClassification"], num_labels=1)
    assert "random head" in refusal(tmp_path / "lora")


def test_lora_on_a_trained_head_is_merged_into_it(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    model = hf.AutoModelForSequenceClassification.from_pretrained(folder_of("llama"))
    wrapped = peft.get_peft_model(
        model, peft.LoraConfig(r=4, target_modules=["q_proj", "score"], init_lora_weights=False)
    ).eval()
    wrapped.save_pretrained(tmp_path / "lora")
    tokenizer = hf.AutoTokenizer.from_pretrained(folder_of("llama"))
    with torch.no_grad():
        expected = np.array([float(wrapped(**inputs_of(tokenizer, pair)).logits[0, 0]) for pair in PAIRS])
    np.testing.assert_allclose(open_classifier(section(tmp_path / "lora")).exact_rewards(PAIRS), expected, atol=1e-3)


def test_a_head_that_peft_does_not_read_is_refused(base: Callable[[str], Path], tmp_path: Path) -> None:
    """The weights lie in the adapter's file, but LoRA has the module's place: peft looks for another name."""
    model = hf.AutoModelForSequenceClassification.from_pretrained(base("llama"), num_labels=1)
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "score"], init_lora_weights=False)
    peft.get_peft_model(model, config).save_pretrained(tmp_path / "lora")
    file = tmp_path / "lora" / "adapter_model.safetensors"
    weights = {**load_file(file), "base_model.model.score.weight": torch.randn(1, 32)}
    save_file(weights, file, metadata={"format": "pt"})
    assert "modules_to_save" in refusal(tmp_path / "lora")


@pytest.fixture
def merged(folder_of: Callable[[str], Path], tmp_path: Path) -> tuple[Path, Rewards, Rewards]:
    """A merged RM with its adapter left beside it; its rewards, and those with the adapter applied once more."""
    torch.manual_seed(3)
    model = hf.AutoModelForSequenceClassification.from_pretrained(folder_of("llama"))
    config = peft.LoraConfig(r=4, target_modules=TARGETS["llama"], init_lora_weights=False, task_type="SEQ_CLS")
    wrapped = peft.get_peft_model(model, config).eval()
    wrapped.save_pretrained(tmp_path / "lora")
    whole = wrapped.merge_and_unload()
    folder = tmp_path / "merged"
    whole.save_pretrained(folder)
    tokenizer = hf.AutoTokenizer.from_pretrained(folder_of("llama"))
    tokenizer.save_pretrained(folder)
    for file in (tmp_path / "lora").glob("adapter_*"):
        shutil.copy(file, folder)
    twice = peft.PeftModel.from_pretrained(copy.deepcopy(whole), tmp_path / "lora").eval()
    with torch.no_grad():
        once, again = ([float(one(**inputs_of(tokenizer, pair)).logits[0, 0]) for pair in PAIRS]
                       for one in (whole, twice))  # fmt: skip
    return folder, np.array(once), np.array(again)


def test_an_adapter_beside_whole_weights_is_left_out_or_applied_as_was_said(
    merged: tuple[Path, Rewards, Rewards], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, once, again = merged
    assert "adapter_config.json beside model.safetensors" in (said := refusal(folder))
    assert "--set rm.adapter=merged" in said
    plain = open_classifier(section(folder, adapter="merged"))
    applied = open_classifier(section(folder, adapter="apply"))
    np.testing.assert_allclose(plain.exact_rewards(PAIRS), once, atol=TOLERANCE)
    np.testing.assert_allclose(applied.exact_rewards(PAIRS), again, atol=1e-3)
    assert np.abs(once - again).max() > 0.1
    assert plain.fingerprint != applied.fingerprint
    monkeypatch.setitem(sys.modules, "peft", None)
    without_peft = open_classifier(section(folder, adapter="merged"))
    np.testing.assert_allclose(without_peft.exact_rewards(PAIRS), once, atol=TOLERANCE)
    assert without_peft.fingerprint == plain.fingerprint


@pytest.mark.parametrize("indexed", [False, True])
def test_a_value_head_beside_the_adapter_is_read(
    indexed: bool, folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    """As LLaMA-Factory saves it: the base is a language model, ``value_head.safetensors`` lies with the adapter."""
    torch.manual_seed(3)
    reward_model = hf.AutoModelForSequenceClassification.from_pretrained(folder_of("llama"))
    language_model = hf.LlamaForCausalLM(reward_model.config)
    language_model.model.load_state_dict(reward_model.model.state_dict())
    language_model.save_pretrained(tmp_path / "base", max_shard_size="50KB" if indexed else "1GB")
    tokenizer = hf.AutoTokenizer.from_pretrained(folder_of("llama"))
    tokenizer.save_pretrained(tmp_path / "base")
    base_lm = hf.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    config = peft.LoraConfig(r=4, target_modules=TARGETS["llama"], init_lora_weights=False, task_type="CAUSAL_LM")
    wrapped = peft.get_peft_model(base_lm, config).eval()
    wrapped.save_pretrained(tmp_path / "lora")
    head = {"v_head.summary.weight": torch.randn(1, 32), "v_head.summary.bias": torch.randn(1)}
    save_file(head, tmp_path / "lora" / "value_head.safetensors")
    expected = []
    for pair in PAIRS:
        with torch.no_grad():
            hidden = wrapped(**inputs_of(tokenizer, pair), output_hidden_states=True).hidden_states[-1][0, -1]
        expected.append(float(hidden @ head["v_head.summary.weight"][0] + head["v_head.summary.bias"]))
    assert "--set rm.head.weights=v_head.summary" in refusal(tmp_path / "lora")
    rm = open_classifier(section(tmp_path / "lora", head={"weights": "v_head.summary"}))
    np.testing.assert_allclose(rm.exact_rewards(PAIRS), expected, atol=1e-3)
    assert rm.has_gradients


def test_without_peft_it_is_said_how_to_get_it(
    base: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter(base("llama"), tmp_path / "lora", "llama")
    monkeypatch.setitem(sys.modules, "peft", None)
    assert refusal(tmp_path / "lora") == "a LoRA adapter needs peft: pip install peft"


def test_the_config_names_what_it_was_trained_on(base: Callable[[str], Path], tmp_path: Path) -> None:
    adapter(base("llama"), tmp_path / "lora", "llama")
    told = json.loads((tmp_path / "lora" / "adapter_config.json").read_text())
    assert told["base_model_name_or_path"] == str(base("llama"))
