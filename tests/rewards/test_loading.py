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


def test_a_padding_token_without_embedding_is_not_used(copy: Callable[[str], Path]) -> None:
    """``add_special_tokens({"pad_token": "[PAD]"})`` without ``resize_token_embeddings``."""
    folder = copy("llama")
    before = load_reward_model(folder, device="cpu", dtype="float32").rewards(PAIRS)
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(folder)
    rm = load_reward_model(folder, device="cpu", dtype="float32")
    assert tokenizer.pad_token_id == len(rm.model.get_input_embeddings().get_parameter("weight"))
    torch.testing.assert_close(torch.tensor(rm.rewards(PAIRS)), torch.tensor(before))


def test_a_padding_id_of_the_config_without_embedding_is_named(copy: Callable[[str], Path]) -> None:
    folder = copy("llama")
    rows = json.loads((folder / "config.json").read_text())["vocab_size"]
    edit_json(folder / "config.json", pad_token_id=rows)
    message = refusal(folder)
    assert f"config.pad_token_id {rows} has no embedding (0 to {rows - 1})" in message
    edit_json(folder / "config.json", pad_token_id=None)  # what it says to do
    load_reward_model(folder, device="cpu")


RAISED = [AssertionError(), AssertionError("Padding_idx"), KeyError("score"), LookupError("x"), RecursionError("deep"),
          NotImplementedError("line\nmore")]  # fmt: skip


@pytest.mark.parametrize("raised", RAISED)
def test_whatever_a_library_raises_at_loading_is_one_line(
    raised: Exception, folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_options: object) -> None:
        raise raised

    monkeypatch.setattr(hf.AutoModelForSequenceClassification, "from_pretrained", broken)
    assert "cannot load" in (said := refusal(folder_of("bert")))
    assert type(raised).__name__ in said or str(raised).splitlines()[0] in said


def test_one_label_by_the_head_where_the_config_says_nothing(copy: Callable[[str], Path]) -> None:
    """transformers would take it for two; cards of such RMs pass ``num_labels=1`` by hand."""
    folder = copy("llama")
    expected = load_reward_model(folder, device="cpu", dtype="float32").exact_rewards(PAIRS)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({k: v for k, v in config.items() if k not in ("id2label", "label2id", "num_labels")})
    )
    rm = load_reward_model(folder, device="cpu", dtype="float32")
    torch.testing.assert_close(torch.tensor(rm.exact_rewards(PAIRS)), torch.tensor(expected))


def test_a_head_of_another_shape_is_named_with_both_shapes(copy: Callable[[str], Path]) -> None:
    folder = copy("llama")
    edit_json(folder / "config.json", intermediate_size=56)
    message = refusal(folder)
    assert "48×32 in the file, 56×32 by config.json" in message or "32×48 in the file, 32×56 by config.json" in message


def test_gguf_and_a_trainers_output_folder_are_named(copy: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copy("llama")
    for step in (100, 200):
        shutil.copytree(folder, folder / f"checkpoint-{step}", ignore=shutil.ignore_patterns("checkpoint-*"))
    (folder / "model.safetensors").unlink()
    message = refusal(folder)
    assert "checkpoint-" in message
    load_reward_model(message.rpartition("Give ")[2], device="cpu")  # what it says to do
    only = tmp_path / "gguf"
    only.mkdir()
    (only / "rm-q8_0.gguf").write_bytes(b"GGUF")
    assert "GGUF, which is not read. Give the safetensors" in refusal(only)
    assert "GGUF, which is not read. Give the safetensors" in refusal(only / "rm-q8_0.gguf")


def test_flash_attention_in_the_config_names_another_that_works(copy: Callable[[str], Path]) -> None:
    from miner.config.reward_model import RewardModelSection
    from miner.rewards.loading.classifiers import open_classifier

    folder = copy("qwen3")
    edit_json(folder / "config.json", _attn_implementation="flash_attention_2", attn_implementation="flash_attention_2")
    assert refusal(folder).endswith("--set rm.attention=sdpa")
    section = RewardModelSection.model_validate({"source": str(folder), "attention": "sdpa", "device": "cpu"})
    open_classifier(section).reward(PAIRS[0])


def test_a_sentencepiece_file_is_not_said_to_need_tiktoken(copy: Callable[[str], Path]) -> None:
    folder = copy("llama")
    for file in folder.glob("tokenizer*"):
        file.unlink()
    (folder / "tokenizer.model").write_bytes(b"\n\x0e\n\x05<unk>")
    message = refusal(folder)
    assert "is sentencepiece's" in message
    assert "tiktoken" not in message


def test_a_decoder_whose_head_has_another_name_is_a_decoder() -> None:
    """CTRL and ModernBERT's decoder call theirs ``classifier``, as encoders do."""
    from miner.rewards.loading.variants import is_decoder

    decoders = [hf.CTRLConfig(), hf.ModernBertDecoderConfig(), hf.GPT2Config(), hf.Mistral4Config()]
    encoders = [hf.BertConfig(), hf.XLMConfig(), hf.CanineConfig(), hf.LiltConfig(), hf.BartConfig(), hf.T5Config()]
    assert [is_decoder(config) for config in decoders] == [True] * 4
    assert [is_decoder(config) for config in encoders] == [False] * 6
