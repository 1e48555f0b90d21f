"""Every folder that is no scalar RM as it stands: one line that says what to do, exit status 2, nothing written."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file

from miner.cli import main
from tests.rewards import own_code as own
from tests.rewards.heads import Built, edit

FolderOf = Callable[[str], Path]


def no_model(folder: Path, folder_of: FolderOf) -> None:
    del folder_of
    folder.mkdir()
    (folder / "notes.txt").write_text("nothing here")


def a_missing_folder(folder: Path, folder_of: FolderOf) -> None:
    del folder, folder_of


def no_weights(folder: Path, folder_of: FolderOf) -> None:
    shutil.copytree(folder_of("llama"), folder)
    (folder / "model.safetensors").unlink()


def pickled(folder: Path, folder_of: FolderOf) -> None:
    shutil.copytree(folder_of("llama"), folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def a_shard_missing(folder: Path, folder_of: FolderOf) -> None:
    shutil.copytree(folder_of("llama"), folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"x": "model-00001-of-00002.safetensors"}}')


def own_code(folder: Path, folder_of: FolderOf) -> None:
    del folder_of
    own.save(folder, "tensor")


def a_head_of_its_own(folder: Path, folder_of: FolderOf) -> None:
    del folder_of
    Built().save(folder)


def adapter_alone(folder: Path, folder_of: FolderOf) -> None:
    peft = pytest.importorskip("peft")
    model = hf.AutoModelForSequenceClassification.from_pretrained(folder_of("llama"))
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="SEQ_CLS")
    peft.get_peft_model(model, config).save_pretrained(folder)
    edit(folder / "adapter_config.json", base_model_name_or_path="/nowhere/base")


def a_language_model(folder: Path, folder_of: FolderOf) -> None:
    config = hf.AutoConfig.from_pretrained(folder_of("llama"), num_labels=2)
    hf.LlamaForCausalLM(config).save_pretrained(folder)
    hf.AutoTokenizer.from_pretrained(folder_of("llama")).save_pretrained(folder)


BAD: dict[str, tuple[Callable[[Path, FolderOf], None], list[str], list[str]]] = {
    # what: (how to make it, settings, what is said)
    "a missing folder": (a_missing_folder, [], ["no model folder at", "save_pretrained"]),
    "no model": (no_model, [], ["no *.safetensors weights", "save_pretrained"]),
    "no weights": (no_weights, [], ["no *.safetensors weights", "save_pretrained"]),
    "pickled weights": (pickled, [], ["pickled weights only", "save_pretrained"]),
    "a shard missing": (a_shard_missing, [], ["lacks model-00001-of-00002.safetensors", "Fetch it again"]),
    "remote code": (own_code, [], ["--set rm.trust_remote_code=true"]),
    "changed code": (own_code, ["rm.trust_remote_code=true", "rm.code_hash=abc"], ["it changed", "modeling_tiny.py"]),
    "a LoRA without its base": (adapter_alone, [], ["without its base '/nowhere/base'", "--set rm.base=FOLDER"]),
    "a head that nobody named": (a_head_of_its_own, [], ["v_head (1×32)", "--set rm.head.weights=v_head"]),
    "a head of another name": (a_head_of_its_own, ["rm.head.weights=score"], ["no tensor under", "v_head (1×32)"]),
    "a head that does not fit": (a_head_of_its_own, ["rm.head.weights=model.norm"], ["does not fit", "v_head (1×32)"]),
    "a language model": (a_language_model, [], ["LlamaForCausalLM without a reward head"]),
    "an output without code": (a_head_of_its_own, ["rm.head.output=score"], ["bring their own code"]),
    "an unknown head key": (a_head_of_its_own, ["rm.head.weight=v_head"], ["did you mean 'weights'"]),
    "an unknown likeness": (a_head_of_its_own, ["rm.like=openbmb/UltraRM"], ["did you mean 'openbmb/UltraRM-13b'"]),
    "a place that is none": (a_head_of_its_own, ["rm.head.read_at=middle"], ["rm.head.read_at"]),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft's, at transformers
@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_line_with_the_fix_and_status_2(
    what: str,
    folder_of: FolderOf,
    preference_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make, settings, said = BAD[what]
    make(tmp_path / "rm", folder_of)
    capsys.readouterr()
    chosen = [word for setting in settings for word in ("--set", setting)]
    arguments = ["--rm", tmp_path / "rm", "--data", preference_file, "--out", tmp_path / "out", "--dry-run", *chosen]
    monkeypatch.setattr(sys, "argv", ["rmminer", "cycle", "--device", "cpu", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("rmminer: ")]
    for words in said:
        assert words in line
    assert not (tmp_path / "out").exists()
