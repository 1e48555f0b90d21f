"""What does not fit is refused by arithmetic before it is read; what is spread over places scores the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
import transformers as hf

from miner.checkpoints.memory import Copies, copies, free_memory, require_room
from miner.checkpoints.tensors import Tensor, stored_tensors
from miner.config.reward_model import RewardModelSection
from miner.errors import CapabilityError, ModelError
from miner.patching.trainable import trainable
from miner.rewards.base import RelaxRequest, SwapRequest
from miner.rewards.loading.classifiers import open_classifier
from tests.rewards.conformance import Rewards, violations
from tests.rewards.heads import Built
from tests.rewards.models import PAIRS, conversation

FolderOf = Callable[[str], Path]
CPU = torch.device("cpu")
BILLION = {"weight": Tensor((1 << 10, 1 << 20), "BF16")}  # 2³⁰ weights: 2 GiB as stored


def section(folder: Path, **settings: Any) -> RewardModelSection:
    return RewardModelSection.model_validate({"source": str(folder), "device": "cpu", "dtype": "float32", **settings})


@pytest.mark.parametrize(
    ("exact", "ranking", "single", "gib"),
    [
        ("float32", "float32", False, 4),
        ("float32", "bfloat16", False, 6),
        ("native", "bfloat16", False, 2),
        ("native", "float16", False, 4),
        ("native", "float32", False, 6),
        ("float32", "bfloat16", True, 4),
    ],
)
def test_bytes_are_those_of_the_copies_that_are_held(exact: Any, ranking: str, single: bool, gib: int) -> None:
    assert copies(exact, ranking, BILLION, single=single).n_bytes(BILLION) == gib << 30


def test_headers_tell_what_lies_in_memory(folder_of: FolderOf) -> None:
    model = hf.AutoModelForSequenceClassification.from_pretrained(folder_of("llama"))
    stored = stored_tensors(folder_of("llama"))
    assert sum(t.numel for t in stored.values()) == sum(p.numel() for p in model.parameters())
    assert sum(t.n_bytes for t in stored.values()) == 4 * sum(t.numel for t in stored.values())


@pytest.mark.parametrize(
    ("free_gib", "advice"),
    [
        (5, "4.00 GiB would fit: --set rm.confirm_dtype=float32 --dtype float32"),
        (3, "2.00 GiB would fit: --set rm.confirm_dtype=native --dtype bfloat16"),
        (1, "--set rm.device_map=auto"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_arithmetic(free_gib: int, advice: str) -> None:
    wanted = Copies(exact="float32", ranking="bfloat16")
    with pytest.raises(ModelError) as caught:
        require_room(BILLION, wanted, CPU, lambda _: free_gib << 30)
    message = str(caught.value)
    assert (
        "1.07 billion weights take 6.00 GiB (4.00 GiB to confirm in float32 + 2.00 GiB to rank in bfloat16)" in message
    )
    assert f"{free_gib}.00 GiB are free" in message
    assert advice in message
    assert "\n" not in message


def test_what_fits_is_let_through() -> None:
    require_room(BILLION, Copies(exact="float32", ranking="bfloat16"), CPU, lambda _: 6 << 30)


def test_free_memory_is_what_this_machine_has_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miner.checkpoints.memory.CGROUP", tmp_path)  # no container
    machine = psutil.virtual_memory()
    assert free_memory(CPU) == pytest.approx(machine.available, abs=0.25 * machine.total)  # others use it meanwhile


def test_free_memory_is_what_this_container_has_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miner.checkpoints.memory.CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text(f"{100 << 20}\n")
    (tmp_path / "memory.current").write_text(f"{70 << 20}\n")
    (tmp_path / "memory.stat").write_text(f"anon {50 << 20}\nfile {20 << 20}\n")
    assert free_memory(CPU) == 50 << 20
    (tmp_path / "memory.current").write_text(f"{200 << 20}\n")
    assert free_memory(CPU) == 0
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(CPU) > 100 << 20


def test_nothing_is_read_of_a_model_that_does_not_fit(folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miner.checkpoints.memory.free_memory", lambda _: 1000)
    monkeypatch.setattr(hf.AutoModelForSequenceClassification, "from_pretrained", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(ModelError, match="does not fit cpu"):
        open_classifier(section(folder_of("llama")))


@pytest.fixture
def spread(folder_of: FolderOf, tmp_path: Path) -> Callable[..., Any]:
    """The RM of an architecture with some of its parts on disk and the rest in memory."""

    def load(name: str, device_map: Any = None, **settings: Any) -> Any:
        parts = MAPS[name] if device_map is None else device_map
        offload = str(tmp_path / "offload")
        return open_classifier(section(folder_of(name), device_map=parts, offload_folder=offload, **settings))

    return load


MAPS: dict[str, dict[str, str]] = {
    "llama": {
        "model.embed_tokens": "disk", "model.layers.0": "cpu", "model.layers.1": "disk", "model.norm": "cpu",
        "model.rotary_emb": "cpu", "score": "cpu",
    },
    "qwen3": {
        "model.embed_tokens": "cpu", "model.layers.0": "disk", "model.layers.1": "cpu", "model.norm": "cpu",
        "model.rotary_emb": "cpu", "score": "disk",
    },
    "bert": {"bert.embeddings": "cpu", "bert.encoder": "disk", "bert.pooler": "cpu", "classifier": "cpu"},
}  # fmt: skip


@pytest.mark.parametrize("name", MAPS)
def test_a_model_partly_on_disk_scores_the_same(
    name: str, spread: Callable[..., Any], expected_of: Callable[[str], Rewards]
) -> None:
    rm = spread(name)
    assert any(parameter.is_meta for parameter in rm.model.parameters())  # it is on disk, not here
    assert rm.device == "cpu, disk"
    np.testing.assert_allclose(rm.exact_rewards(PAIRS), expected_of(name), atol=1e-5)
    assert violations(rm, PAIRS, expected_of(name)) == []


@pytest.mark.parametrize("name", MAPS)
def test_gradients_are_those_of_the_whole_model(
    name: str, spread: Callable[..., Any], rm_of: Callable[..., Any]
) -> None:
    request = SwapRequest(prompts=(conversation("What is it?"),), weights=(1.0,), response="a tree of files", k=3)
    assert spread(name).has_gradients
    for ours, theirs in zip(spread(name).swaps([request])[0], rm_of(name).swaps([request])[0], strict=True):
        assert [s.replacement for s in ours] == [s.replacement for s in theirs]
        np.testing.assert_allclose([s.gain for s in ours], [s.gain for s in theirs], atol=1e-3)
    relaxed = RelaxRequest(pair=PAIRS[0], steps=2, readouts=1, learning_rate=0.3, temperature=1.0, seed=0)
    assert spread(name).relax([relaxed]) == rm_of(name).relax([relaxed])


@pytest.mark.parametrize("device_map", ["auto", "balanced", "sequential"])
def test_accelerates_own_maps_are_taken(
    device_map: str, spread: Callable[..., Any], expected_of: Callable[[str], Rewards]
) -> None:
    rm = spread("llama", device_map)
    np.testing.assert_allclose(rm.exact_rewards(PAIRS), expected_of("llama"), atol=1e-5)


def test_a_head_of_its_own_goes_with_a_spread_backbone(tmp_path: Path) -> None:
    built = Built()
    folder = built.save(tmp_path / "rm")
    parts = {"embed_tokens": "cpu", "layers.0": "disk", "layers.1": "cpu", "norm": "cpu", "rotary_emb": "cpu"}
    settings = {"head": {"weights": "v_head"}, "device_map": parts, "offload_folder": str(tmp_path / "offload")}
    rm = open_classifier(section(folder, **settings))
    assert any(parameter.is_meta for parameter in rm.model.parameters())
    assert violations(rm, PAIRS, built.plain(folder, PAIRS)) == []


def test_a_spread_model_is_not_retrained(spread: Callable[..., Any]) -> None:
    with pytest.raises(CapabilityError, match="cannot be retrained here"):
        trainable(spread("llama"))


def test_one_copy_ranks_and_confirms(spread: Callable[..., Any]) -> None:
    rm = spread("llama", dtype="bfloat16")
    assert rm.ranking_model is rm.model
    assert rm.ranking_dtype == rm.reward_dtype == "float32"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"device_map": {"": "nowhere"}}, "cannot load"),
        ({"device_map": "everywhere"}, "cannot load"),
        ({"device_map": "auto", "device": "cpu,cpu"}, "drop one of them"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(settings: dict[str, Any], said: str, folder_of: FolderOf) -> None:
    with pytest.raises(ModelError) as caught:
        open_classifier(section(folder_of("llama"), **settings))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_torn_header_is_refused(folder_of: FolderOf, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folder_of("llama"), tmp_path / "copy"))
    (folder / "model.safetensors").write_bytes(b"\xff" * 20)
    with pytest.raises(ModelError, match="header is damaged"):
        open_classifier(section(folder))
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-00002-of-00002.safetensors"}}')
    with pytest.raises(ModelError, match=r"lacks model-00002-of-00002\.safetensors"):
        open_classifier(section(folder))
