"""The doctor on tiny models: every planted fault is named, and sound models of every architecture are not accused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from corpus.records import Message, Prompt
from miner.errors import ConfigError, ModelError, NoRoomError
from miner.measuring.doctor import Report
from miner.rewards import Pair, load_reward_model
from miner.rewards.adapters.causal import CausalRewardModel
from miner.rewards.compute.forward import Forward
from miner.testing import ToyRewardModel
from tests.measuring.doctor.examining import JUDGED_BY_TEXT, edit_json, examined, red, texts
from tests.rewards import own_code as own
from tests.rewards.asking_models import PAIRWISE
from tests.rewards.heads import Built
from tests.rewards.models import ARCHITECTURES, ENCODERS, conversation
from tests.rewards.tokenizers import byte_level, fast


def nothing(folder: Path) -> None:
    """The architecture as it is built has the fault already."""
    del folder


def amber(report: Report) -> set[str]:
    return {d.examination for d in report.diagnoses if d.colour == "amber"}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_sound_model_is_not_accused(name: str, folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tmp_path / name
    shutil.copytree(folder_of(name), folder)
    if name in ENCODERS:
        edit_json(folder / "tokenizer_config.json", padding_side="right")
    report = examined(folder)
    assert red(report) <= JUDGED_BY_TEXT, [d for d in report.diagnoses if d.colour == "red"]
    assert len(report.diagnoses) >= 12
    for diagnosis in report.diagnoses:
        assert bool(diagnosis.fix) == (diagnosis.colour != "green"), diagnosis


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def two_labels(folder: Path) -> None:
    edit_json(folder / "config.json", id2label={"0": "a", "1": "b"}, label2id={"a": 0, "b": 1}, num_labels=2)


def headless(folder: Path) -> None:
    def drop(weights: dict[str, torch.Tensor]) -> None:
        del weights["score.weight"]

    edit_weights(folder, drop)


def remote_code(folder: Path) -> None:
    auto = {"AutoConfig": "modeling.Config", "AutoModelForSequenceClassification": "modeling.Model"}
    edit_json(folder / "config.json", model_type="homemade", auto_map=auto)
    (folder / "modeling.py").write_text("raise SystemExit('ran')\n", encoding="utf-8")


def without_tokenizer(folder: Path) -> None:
    for path in folder.glob("*token*"):
        path.unlink()


def torn_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def other_padding(folder: Path) -> None:
    edit_json(folder / "tokenizer_config.json", pad_token="<|im_start|>")


def without_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()


def template(text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "chat_template.jinja").write_text(text, encoding="utf-8")

    return change


NO_SYSTEM = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{{ m['content'] }}{{ eos_token }}{% endfor %}"
)
DROPS_SYSTEM = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] != 'system' %}{{ m['content'] }}{{ eos_token }}{% endif %}"
    "{% endfor %}"
)
DROPS_RESPONSE = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}{% endif %}{% endfor %}"
)
NO_BOS = "{% for m in messages %}{{ m['content'] }}{{ eos_token }}{% endfor %}"


def silent_cut(folder: Path) -> None:
    cut = {"direction": "Right", "max_length": 16, "strategy": "LongestFirst", "stride": 0}
    edit_json(folder / "tokenizer.json", truncation=cut)


def no_maximum(folder: Path) -> None:
    edit_json(folder / "tokenizer_config.json", model_max_length=10**30)


def too_long_allowed(folder: Path) -> None:
    edit_json(folder / "tokenizer_config.json", model_max_length=4096)


def zero_head(folder: Path) -> None:
    edit_weights(folder, lambda weights: weights["score.weight"].zero_())


def broken_head(folder: Path) -> None:
    edit_weights(folder, lambda weights: weights["score.weight"].fill_(float("nan")))


def few_embeddings(folder: Path) -> None:
    """The tokenizer is of a larger model: texts hold tokens past the last embedding."""

    def cut(weights: dict[str, torch.Tensor]) -> None:
        weights["model.embed_tokens.weight"] = weights["model.embed_tokens.weight"][:300].clone()

    edit_weights(folder, cut)
    edit_json(folder / "config.json", vocab_size=300)


def adapter_left_behind(folder: Path) -> None:
    told = {"peft_type": "LORA", "base_model_name_or_path": "elsewhere"}
    (folder / "adapter_config.json").write_text(json.dumps(told), encoding="utf-8")


def lora_on_a_head_that_nobody_saved(folder: Path) -> None:
    """A and B of the head on a language model: its own weights would be drawn anew at every load."""
    peft = pytest.importorskip("peft")
    base = folder.with_name("base")
    lm = hf.AutoModelForCausalLM.from_pretrained(folder)
    lm.save_pretrained(base)
    model = hf.AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "score"], init_lora_weights=False)
    for file in ("config.json", "model.safetensors"):
        (folder / file).unlink()
    peft.get_peft_model(model, config).save_pretrained(folder)


FAULTS: dict[str, tuple[str, Callable[[Path], None], str, str]] = {
    # fault: (architecture, what breaks it, examination, colour)
    "pickled weights": ("llama", pickled, "loads safely", "red"),
    "two labels": ("llama", two_labels, "loads safely", "red"),
    "no trained head": ("llama", headless, "loads safely", "red"),
    "remote code": ("llama", remote_code, "loads safely", "red"),
    "LoRA on a head that nobody saved": ("llama", lora_on_a_head_that_nobody_saved, "loads safely", "red"),
    "an adapter left beside whole weights": ("llama", adapter_left_behind, "loads safely", "red"),
    "no tokenizer": ("llama", without_tokenizer, "loads safely", "red"),
    "torn weights": ("llama", torn_weights, "loads safely", "red"),
    "no padding token": ("llama", nothing, "padding token", "amber"),
    "padding is EOS": ("qwen3", nothing, "padding token", "amber"),
    "read before the end": ("qwen3", nothing, "pooling position", "amber"),
    "two padding tokens": ("qwen2", other_padding, "padding token", "red"),
    "reads padding in batches": ("qwen2", other_padding, "batch, padded right", "red"),
    "encoder padded left": ("bert", nothing, "batch, padded left", "red"),
    "BOS doubled": ("llama", nothing, "BOS", "amber"),
    "BOS missing": ("llama", template(NO_BOS), "BOS", "amber"),
    "no chat template": ("llama", without_template, "chat template", "amber"),
    "response not shown": ("llama", template(DROPS_RESPONSE), "chat template", "red"),
    "system prompt refused": ("llama", template(NO_SYSTEM), "system prompt", "amber"),
    "system prompt dropped": ("llama", template(DROPS_SYSTEM), "system prompt", "amber"),
    "a cut in tokenizer.json": ("llama", silent_cut, "truncation", "amber"),
    "no maximum length": ("llama", no_maximum, "truncation", "amber"),
    "longer than the position table": ("bert", too_long_allowed, "truncation", "red"),
    "longer than rotary positions were trained": ("llama", too_long_allowed, "truncation", "amber"),
    "head of zeros": ("llama", zero_head, "finite rewards", "red"),
    "head of NaN": ("llama", broken_head, "finite rewards", "red"),
    "tokens without embeddings": ("llama", few_embeddings, "vocabulary", "red"),
}


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft's, at transformers
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_named_with_its_fix(fault: str, folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    architecture, plant, examination, colour = FAULTS[fault]
    folder = tmp_path / "model"
    shutil.copytree(folder_of(architecture), folder)
    plant(folder)
    found = [d for d in examined(folder).diagnoses if d.examination == examination and d.colour != "green"]
    assert [d.colour for d in found] == [colour], found
    assert found[0].found
    assert found[0].fix


def test_an_attention_implementation_that_leaves_something_out_is_named(
    folder_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    functions = hf.modeling_utils.ALL_ATTENTION_FUNCTIONS
    whole = functions["sdpa"]

    def unscaled(*args: Any, scaling: float | None = None, **kwargs: Any) -> Any:
        del scaling
        return whole(*args, scaling=1.0, **kwargs)

    monkeypatch.setitem(functions._global_mapping, "sdpa", unscaled)
    assert "attention" in red(examined(folder_of("llama")))


def read_one_token_early(monkeypatch: pytest.MonkeyPatch) -> None:
    right = CausalRewardModel.read_at
    monkeypatch.setattr(CausalRewardModel, "read_at", lambda self, ids: right(self, ids) - 1)


def noisy(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Forward.values
    noise = torch.Generator().manual_seed(1)
    monkeypatch.setattr(
        Forward, "values",
        lambda self, model, rows, groups=None: plain(self, model, rows, groups)
        + torch.randn(len(rows), generator=noise).double().numpy(),
    )  # fmt: skip


def ranked_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Forward.ranked
    monkeypatch.setattr(
        Forward, "ranked",
        lambda self, pairs: [replace(one, reward=3 * one.reward) for one in plain(self, pairs)],
    )  # fmt: skip


def nothing_patched(monkeypatch: pytest.MonkeyPatch) -> None:
    del monkeypatch


COMPUTED_WRONGLY: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], dict[str, Any], str]] = {
    # fault: (what plants it, settings, examination)
    "read one token early": (read_one_token_early, {}, "rmminer's own paths"),
    "noise": (noisy, {}, "repeatable"),
    "another ranking": (ranked_otherwise, {"dtype": "bfloat16"}, "ranking dtype"),
    "responses cut off": (nothing_patched, {"max_length": 24, "truncation": "right"}, "ties"),
}


@pytest.mark.parametrize("fault", COMPUTED_WRONGLY)
def test_a_reward_that_is_computed_wrongly_is_named(
    fault: str, folder_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant, settings, examination = COMPUTED_WRONGLY[fault]
    plant(monkeypatch)
    assert examination in red(examined(folder_of("llama"), **settings))


def test_texts_that_do_not_fit_are_left_out_and_said(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    long = Prompt(conversation=conversation("Q"), reference="word " * 900, group_key="long", split="held_out")
    system = Prompt(
        conversation=(Message(role="system", content="Be kind."), Message(role="user", content="Q")),
        reference="short", group_key="system", split="held_out",
    )  # fmt: skip
    folder = tmp_path / "model"
    shutil.copytree(folder_of("llama"), folder)
    template(NO_SYSTEM)(folder)
    report = examined(folder, (*texts(), long, system))
    assert red(report) <= JUDGED_BY_TEXT
    (said,) = [d for d in report.diagnoses if d.examination == "texts"]
    assert (said.colour, said.found) == (
        "amber", "2 of 26 prompts left out: 1 too long for it; 1 refused by its template: no system",
    )  # fmt: skip
    assert "--set rm.truncation=left|right" in said.fix
    assert "Mine on prompts it takes" in said.fix
    assert "texts" in red(examined(folder, (*texts(8)[1:], long)))


@pytest.mark.parametrize("name", ["llama", "qwen2", "bert", "deberta_v2"])
def test_a_sound_model_in_its_own_bf16_is_not_accused(
    name: str, folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / name
    shutil.copytree(folder_of(name), folder)
    edit_weights(folder, lambda weights: weights.update({k: v.bfloat16() for k, v in weights.items()}))
    edit_json(folder / "config.json", dtype="bfloat16")
    if name in ENCODERS:
        edit_json(folder / "tokenizer_config.json", padding_side="right")
    report = examined(folder, dtype="bfloat16", confirm_dtype="native")
    assert red(report) <= JUDGED_BY_TEXT, [d for d in report.diagnoses if d.colour == "red"]


def test_a_length_asked_for_is_no_fault(folder_of: Callable[[str], Path]) -> None:
    report = examined(folder_of("bert"), max_length=128, truncation="right")
    (said,) = [d for d in report.diagnoses if d.examination == "truncation"]
    assert said.colour == "green"
    assert "cut on the right" in said.found


def test_unknown_words_are_noticed(folder_of: Callable[[str], Path]) -> None:
    foreign = tuple(
        Prompt(conversation=conversation(f"Q{n}"), reference=f"Ω{n} ж ш щ ю я", group_key=str(n), split="held_out")
        for n in range(8)
    )
    assert "unknown tokens" in red(examined(folder_of("bert"), foreign))


def test_preferences_the_wrong_way_round_are_red_and_the_right_way_green(folder_of: Callable[[str], Path]) -> None:
    rm = load_reward_model(folder_of("bert"), device="cpu", dtype="float32")
    right: list[Prompt] = []
    wrong: list[Prompt] = []
    for prompt in texts():
        both = sorted((str(prompt.reference), *prompt.rejected), key=lambda t: rm.reward(Pair(prompt.conversation, t)))
        for kept, (good, bad) in ((right, both[::-1]), (wrong, both)):
            kept.append(
                Prompt(
                    conversation=prompt.conversation, reference=good, rejected=(bad,), group_key=prompt.group_key,
                    split="held_out",
                )
            )  # fmt: skip
    assert "preference accuracy" in red(examined(folder_of("bert"), tuple(wrong)))
    assert "preference accuracy" not in red(examined(folder_of("bert"), tuple(right)))


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_a_ruler_is_recognised(direction: float, tmp_path: Path) -> None:
    """No layers, position embeddings on a ramp: the reward is the number of tokens."""
    tokenizer = fast(byte_level(["<|endoftext|>", "<pad>"]), eos_token="<|endoftext|>", pad_token="<pad>")
    config = hf.GPT2Config(  # type: ignore[call-arg]
        n_embd=8, n_layer=1, n_head=1, n_positions=256, vocab_size=len(tokenizer), num_labels=1, pad_token_id=1
    )
    model = hf.GPT2ForSequenceClassification(config)
    with torch.no_grad():
        for parameter in model.transformer.h.parameters():
            parameter.zero_()
        model.transformer.wte.weight.zero_()
        ramp = torch.linspace(-3, 3, 256)
        model.transformer.wpe.weight.copy_(torch.stack([ramp, torch.ones(256), *torch.zeros(6, 256)], dim=1))
        model.score.weight.copy_(direction * torch.tensor([[1.0, *[0.0] * 7]]))
    model.save_pretrained(tmp_path / "ruler")
    tokenizer.save_pretrained(tmp_path / "ruler")
    assert {"length", "trivial answers"} <= red(examined(tmp_path / "ruler")), (
        "a word 32 times is long, no answer short"
    )


def test_no_such_folder_and_too_little_text_are_errors(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model folder"):
        examined(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="the doctor needs 8"):
        examined(folder_of("bert"), texts(3))


def test_the_counts_are_those_of_the_diagnoses(folder_of: Callable[[str], Path]) -> None:
    report = examined(folder_of("qwen3"))
    assert report.counts["amber"] == len(amber(report)) > 0
    assert sum(report.counts.values()) == len(report.diagnoses)
    assert report.is_red == bool(red(report))


HEADED = {
    "a linear head": (Built(), {"weights": "v_head"}),
    "a deep head": (
        Built(layers={"v_head.summary.0": (16, True), "v_head.summary.2": (1, True)}),
        {"weights": "v_head.summary", "activation": "relu"},
    ),
    "an appended token": (Built(append=7), {"weights": "v_head", "append_token": 7}),
    "a weighed head": (
        Built(layers={"v_head": (2, False)}, weighting=(0.25, 0.75)),
        {"weights": "v_head", "objectives": [0.25, 0.75]},
    ),
    "an encoder": (
        Built(architecture="deberta_v2", prefix="deberta.", read=lambda hidden, _: hidden[0]), {"weights": "v_head"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADED)
def test_a_sound_model_with_a_head_of_its_own_is_not_accused(name: str, tmp_path: Path) -> None:
    built, head = HEADED[name]
    report = examined(built.save(tmp_path / "rm"), head=head)
    assert red(report) <= JUDGED_BY_TEXT, [d for d in report.diagnoses if d.colour == "red"]
    assert len(report.diagnoses) >= 12


def adapter(folder: Path, folder_of: Callable[[str], Path]) -> dict[str, Any]:
    peft = pytest.importorskip("peft")
    model = hf.AutoModelForSequenceClassification.from_pretrained(folder_of("llama"))
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False, task_type="SEQ_CLS")
    peft.get_peft_model(model, config).save_pretrained(folder)
    return {}


def its_own_code(folder: Path, folder_of: Callable[[str], Path]) -> dict[str, Any]:
    del folder_of
    own.save(folder, "attributes")
    return {"trust_remote_code": True, "head": {"output": "score"}}


def partly_on_disk(folder: Path, folder_of: Callable[[str], Path]) -> dict[str, Any]:
    shutil.copytree(folder_of("bert"), folder)
    edit_json(folder / "tokenizer_config.json", padding_side="right")
    places = {"bert.embeddings": "cpu", "bert.encoder": "disk", "bert.pooler": "cpu", "classifier": "cpu"}
    return {"device_map": places, "offload_folder": str(folder.parent / "offload")}


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft's, at transformers
@pytest.mark.parametrize("make", [adapter, its_own_code, partly_on_disk])
def test_a_sound_model_of_another_shape_is_not_accused(
    make: Callable[..., dict[str, Any]],
    folder_of: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    report = examined(tmp_path / "rm", **make(tmp_path / "rm", folder_of))
    assert red(report) <= JUDGED_BY_TEXT, [d for d in report.diagnoses if d.colour == "red"]
    assert len(report.diagnoses) >= 12


def test_an_rm_that_only_compares_is_not_accused_of_giving_references_nothing(
    asking_folder_of: Callable[[str], Path],
) -> None:
    model, asked = PAIRWISE["answer, chat"]
    report = examined(asking_folder_of(model), kind="pairwise", pairwise=asked)
    assert "finite rewards" not in red(report), [d for d in report.diagnoses if d.colour == "red"]
    assert {"finite rewards", "repeatable", "trivial answers", "preference accuracy"} <= {
        d.examination for d in report.diagnoses
    }


def test_a_head_that_nobody_named_is_suggested(tmp_path: Path) -> None:
    (said,) = [d for d in examined(Built().save(tmp_path / "rm")).diagnoses if d.colour == "red"]
    assert "v_head (1×32) looks like a reward head" in said.found
    assert said.fix == "Try: --set rm.head.weights=v_head"


def test_of_an_rm_whose_weights_are_elsewhere_the_rewards_are_examined(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    toy = ToyRewardModel()
    monkeypatch.setattr("miner.rewards.opening.open_scalar", lambda _section, _source, _references: toy)
    spoken = tuple(
        Prompt(conversation=conversation(str(n)), reference=word, group_key=str(n), split="held_out")
        for n, word in enumerate(toy.vocabulary[:20])
    )
    report = examined(tmp_path, spoken)
    names = {d.examination for d in report.diagnoses}
    assert {"tokens and weights", "finite rewards", "repeatable", "trivial answers"} <= names
    assert not {"padding token", "attention", "pooling position"} & names


DATED = "Today is {{ strftime_now('%d %b %Y') }}.\n{% for m in messages %}{{ m['content'] }}{{ eos_token }}{% endfor %}"


def test_a_template_that_writes_the_date_is_told_of_with_what_it_costs(
    folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(folder_of("llama"), tmp_path / "rm"))
    (said,) = [d for d in examined(folder).diagnoses if d.examination == "date"]
    assert said.colour == "green"
    template(DATED)(folder)
    (said,) = [d for d in examined(folder).diagnoses if d.examination == "date"]
    assert (said.colour, bool(said.value)) == ("amber", True)
    assert "rmminer writes 2024-07-26" in said.found
    assert "--set rm.today=" in said.fix
    examined(folder, today="2025-03-01")  # what it says to do


def test_a_padding_token_without_embedding_is_amber_and_the_rest_is_examined(
    folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(folder_of("llama"), tmp_path / "rm"))
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(folder)
    report = examined(folder)
    assert "vocabulary" in amber(report)
    assert red(report) <= JUDGED_BY_TEXT, [d for d in report.diagnoses if d.colour == "red"]


def test_what_does_not_fit_its_shape_is_a_diagnosis_and_what_does_not_fit_memory_an_error(
    folder_of: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Built(layers={"v_head": (1, False)}, extra={"other.weight": (200, 32)}).save(tmp_path / "rm")
    (said,) = [d for d in examined(folder, head={"weights": "other"}).diagnoses if d.colour == "red"]
    assert "does not fit" in said.found
    monkeypatch.setattr("miner.checkpoints.memory.free_memory", lambda _place: 1)
    with pytest.raises(NoRoomError):
        examined(folder_of("llama"))
