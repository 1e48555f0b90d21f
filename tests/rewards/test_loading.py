"""What is no reward model is refused on one line that says what to do; what is one loads as asked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from miner.errors import ModelError
from miner.rewards import load_reward_model
from tests.rewards.models import ARCHITECTURES, CAUSAL, PAIRS

FolderOf = Callable[[str], Path]


@pytest.fixture
def copy(folder_of: FolderOf, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of an architecture's folder that a test may damage."""
    return lambda name: Path(shutil.copytree(folder_of(name), tmp_path / name))


def refusal(source: object, **options: Any) -> str:
    with pytest.raises(ModelError) as caught:
        load_reward_model(str(source), **{"device": "cpu", **options})
    message = str(caught.value)
    assert "\n" not in message
    return message


def edit_json(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_decoders_get_a_chat_and_encoders_a_text_pair(name: str, rm_of: Callable[[str], Any]) -> None:
    kind = "ChatPipeline" if name in CAUSAL else "TextPairPipeline"
    assert type(rm_of(name).pipeline).__name__ == kind


@pytest.mark.parametrize("source", ["/no/such/folder", "./nowhere", "just-a-name", "a/b/c"])
def test_no_such_folder_is_refused(source: str) -> None:
    assert "no model folder at" in refusal(source)


def test_a_file_is_refused(folder_of: FolderOf) -> None:
    assert "save_pretrained" in refusal(folder_of("bert") / "config.json")


def test_a_hub_id_that_the_hub_does_not_give_is_refused() -> None:
    message = refusal("nobody/no-such-model", revision="abc")
    assert "'nobody/no-such-model' at revision 'abc'" in message
    assert "Check the name" in message


def test_a_hub_id_is_downloaded_at_its_revision_without_pickles(
    folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def snapshot_download(repo_id: str, **options: Any) -> str:
        asked.update(options, repo_id=repo_id)
        return str(folder_of("llama"))

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    rm = load_reward_model("owner/tiny-llama", revision="v1.2", device="cpu")
    assert (asked["repo_id"], asked["revision"], rm.name) == ("owner/tiny-llama", "v1.2", "tiny-llama")
    assert not any(pattern.endswith((".bin", ".pt", ".pth", "*")) for pattern in asked["allow_patterns"])


def test_a_revision_of_a_folder_is_refused(folder_of: FolderOf) -> None:
    assert "has no revisions" in refusal(folder_of("bert"), revision="main")


def test_two_labels_are_refused(copy: Callable[[str], Path]) -> None:
    folder = copy("bert")
    edit_json(folder / "config.json", id2label={"0": "bad", "1": "good"}, label2id={"bad": 0, "good": 1})
    assert "has 2 labels; a scalar RM has one" in refusal(folder)


@pytest.mark.parametrize(("name", "head"), [("llama", "score"), ("bert", "classifier"), ("roberta", "classifier")])
def test_an_untrained_head_is_refused(name: str, head: str, copy: Callable[[str], Path]) -> None:
    folder = copy(name)
    weights = load_file(folder / "model.safetensors")
    headless = {key: value for key, value in weights.items() if not key.startswith(head)}
    assert len(headless) < len(weights)
    save_file(headless, folder / "model.safetensors", metadata={"format": "pt"})
    assert "random head" in refusal(folder)


def test_a_language_model_is_refused(folder_of: FolderOf, tmp_path: Path) -> None:
    config = hf.AutoConfig.from_pretrained(folder_of("llama"), num_labels=2)
    hf.LlamaForCausalLM(config).save_pretrained(tmp_path)
    hf.AutoTokenizer.from_pretrained(folder_of("llama")).save_pretrained(tmp_path)
    assert "LlamaForCausalLM without a reward head" in refusal(tmp_path)


def test_pickled_weights_are_refused_unread(copy: Callable[[str], Path]) -> None:
    folder = copy("bert")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    message = refusal(folder)
    assert "pickled weights only" in message
    assert "save_pretrained" in message


def test_a_folder_without_weights_is_refused(copy: Callable[[str], Path]) -> None:
    folder = copy("bert")
    (folder / "model.safetensors").unlink()
    assert "no *.safetensors weights" in refusal(folder)


def test_torn_weights_are_refused(copy: Callable[[str], Path]) -> None:
    folder = copy("bert")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert "cannot load" in refusal(folder)


def test_weights_of_another_shape_are_refused(copy: Callable[[str], Path]) -> None:
    folder = copy("llama")
    edit_json(folder / "config.json", intermediate_size=56)
    assert "cannot load" in refusal(folder)


@pytest.mark.parametrize("name", ["llama", "gemma2", "bert", "roberta", "deberta_v2"])
def test_no_tokenizer_is_refused(name: str, copy: Callable[[str], Path]) -> None:
    folder = copy(name)
    for file in folder.glob("*token*"):
        file.unlink()
    assert "no fast tokenizer" in refusal(folder)


@pytest.mark.parametrize("damage", ["{", '{"model_type": "no-such-type"}', "[]"])
def test_a_broken_config_is_refused(damage: str, copy: Callable[[str], Path]) -> None:
    folder = copy("llama")
    (folder / "config.json").write_text(damage)
    assert "no model config" in refusal(folder)


def test_remote_code_is_refused_unless_asked_for(copy: Callable[[str], Path]) -> None:
    folder = copy("llama")
    edit_json(folder / "config.json", model_type="own", auto_map={"AutoConfig": "own.OwnConfig"})
    (folder / "own.py").write_text("raise SystemExit('remote code ran')")
    assert "Try: --set rm.trust_remote_code=true" in refusal(folder)


@pytest.mark.parametrize("device", ["cuda:99", "mps", "cuda"])
def test_a_device_that_is_not_here_is_refused(
    device: str, folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert refusal(folder_of("bert"), device=device) == (
        f"device {device!r} is not available on this machine. Try: --device cpu"
    )


@pytest.mark.parametrize("device", ["gpu", "xpu", "cpu:1"])
def test_a_device_of_another_kind_is_refused(device: str, folder_of: FolderOf) -> None:
    assert "--device" in refusal(folder_of("bert"), device=device)


def test_an_unknown_dtype_is_refused(folder_of: FolderOf) -> None:
    assert "auto|float32|bfloat16|float16" in refusal(folder_of("bert"), dtype="int8")


def test_a_model_too_big_for_the_device_is_refused(folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_self: object, *_args: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(hf.BertForSequenceClassification, "to", full)
    assert "does not fit cpu in float32" in refusal(folder_of("bert"))


def test_loading_trains_nothing_and_drops_nothing_out(rm_of: Callable[[str], Any]) -> None:
    rm = rm_of("bert")
    assert not rm.model.training
    assert not any(parameter.requires_grad for parameter in rm.model.parameters())
    assert rm.reward(PAIRS[0]) == rm.reward(PAIRS[0])


def test_importing_the_interface_does_not_import_torch() -> None:
    code = "import miner.rewards.base, sys; from miner.rewards import Pair; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
