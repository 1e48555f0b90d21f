"""Training on preferences: rows of like lengths together, every reward with its own row, and what is frozen stays."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from corpus.records import Message, Prompt
from miner.checkpoints.memory import require_training_room
from miner.config.campaign import PatchSection
from miner.errors import ConfigError, NoRoomError
from miner.patching.pairs import clean_pairs, finding_pairs, of_every_kind
from miner.patching.patch import patch
from miner.patching.preference_trainer import (
    FORWARD_PASSES,
    Recipe,
    Row,
    TrainingPair,
    scored_by_length,
    train_preferences,
)
from miner.rewards import load_reward_model
from scripts.drills.samples import finding


def test_rows_of_like_lengths_run_together_and_their_rewards_come_back_in_order(tiny_rm_folder: Path) -> None:
    rm = load_reward_model(tiny_rm_folder, device="cpu", dtype="float32")
    rng = np.random.default_rng(0)
    lengths = [int(length) for length in rng.integers(4, 60, size=40)]
    rows: list[Row] = [((2, *rng.integers(5, 700, size=n).tolist(), 3), (0,) * (n + 2)) for n in lengths]
    padded: list[int] = []

    def score(part: Sequence[Row]) -> torch.Tensor:
        padded.append(len(part) * max(len(ids) for ids, _ in part))
        return rm.logits_for_training(rm.model, part)

    with torch.inference_mode():
        together = scored_by_length(score, rows)
        alone = torch.cat([rm.logits_for_training(rm.model, [row]) for row in rows])
    assert torch.allclose(together, alone, atol=1e-4)
    assert len(padded) == FORWARD_PASSES
    assert sum(padded) < 0.8 * len(rows) * max(len(ids) for ids, _ in rows)


def _trained(folder: Path, out: Path, frozen: tuple[str, ...]) -> dict[str, bool]:
    """By name, whether a parameter was changed by two steps."""
    rm = load_reward_model(folder, device="cpu", dtype="float32")
    before = {name: parameter.clone() for name, parameter in rm.model.named_parameters()}
    pair = TrainingPair(chosen=((2, 7, 8, 9, 3), (0,) * 5), rejected=((2, 11, 12, 3), (0,) * 4))
    recipe = Recipe(max_steps=2, batch_pairs=2, learning_rate=1e-2, dtype="float32", frozen=frozen)
    trained = train_preferences(
        rm, copy.deepcopy(rm.model), [pair] * 4, recipe, out=out, seed=0, progress=lambda _done, _total: None
    )
    return {name: not torch.equal(parameter, before[name]) for name, parameter in trained.named_parameters()}


def test_what_is_frozen_stays_as_it_is_and_the_rest_learns(tiny_rm_folder: Path, tmp_path: Path) -> None:
    frozen = "bert.embeddings."
    changed = _trained(tiny_rm_folder, tmp_path, (frozen,))
    assert {changed[name] for name in changed if name.startswith(frozen)} == {False}
    assert {changed[name] for name in changed if name.startswith("classifier")} == {True}
    assert any(_trained(tiny_rm_folder, tmp_path / "all", ())[name] for name in changed if name.startswith(frozen))


@pytest.mark.parametrize(
    ("frozen", "message"), [(("bert.embedings.",), "no parameter's name begins"), (("",), "leave nothing to train")]
)
def test_frozen_that_names_nothing_or_everything_is_refused(
    tiny_rm_folder: Path, tmp_path: Path, frozen: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        _trained(tiny_rm_folder, tmp_path, frozen)


def test_frozen_beside_lora_is_refused() -> None:
    with pytest.raises(ValueError, match="exclude each other"):
        PatchSection(frozen=("bert.",), lora_rank=4)


PAIRS = [
    TrainingPair(chosen=((2, 7, 8, 9, 3), (0,) * 5), rejected=((2, 11, 12, 3), (0,) * 4)),
    TrainingPair(chosen=((2, 17, 18, 3), (0,) * 4), rejected=((2, 21, 22, 23, 3), (0,) * 5)),
]


def _moved(folder: Path, out: Path, **recipe: Any) -> tuple[float, Any]:
    """How far 40 small steps move the weights of the RM stored in ``folder``, and the trained model."""
    rm = load_reward_model(folder, device="cpu", dtype="bfloat16", confirm_dtype="native")
    before = [parameter.detach().float().clone() for parameter in rm.model.parameters()]
    steps = Recipe(max_steps=40, batch_pairs=2, learning_rate=2e-4, dtype="float32", **recipe)
    trained = train_preferences(
        rm, copy.deepcopy(rm.model), PAIRS * 2, steps, out=out, seed=0, progress=lambda _done, _total: None
    )
    changes = [a.float() - b for a, b in zip(trained.parameters(), before, strict=True)]
    return float(torch.cat([change.flatten() for change in changes]).norm()), trained


@pytest.fixture
def bf16_folder(tiny_rm_folder: Path, tmp_path: Path) -> Path:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = tmp_path / "stored-in-bf16"
    AutoModelForSequenceClassification.from_pretrained(tiny_rm_folder).bfloat16().save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_rm_folder).save_pretrained(folder)
    return folder


def test_weights_stored_in_bf16_are_trained_in_fp32(tiny_rm_folder: Path, bf16_folder: Path, tmp_path: Path) -> None:
    in_fp32, _ = _moved(tiny_rm_folder, tmp_path / "a")
    in_bf16, trained = _moved(bf16_folder, tmp_path / "b")
    assert in_bf16 == pytest.approx(in_fp32, rel=0.1)
    assert {parameter.dtype for parameter in trained.parameters()} == {torch.bfloat16}
    again = load_reward_model(tmp_path / "b", device="cpu", dtype="bfloat16", confirm_dtype="native")
    assert again.reward_dtype == "bfloat16"


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_under_an_adapter_the_weights_keep_their_dtype(bf16_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    moved, trained = _moved(bf16_folder, tmp_path / "lora", lora_rank=4)
    assert moved > 0
    assert {parameter.dtype for parameter in trained.parameters()} == {torch.bfloat16}


def test_where_the_trainer_sees_two_gpus_it_trains_on_the_rms_device_alone(
    tiny_rm_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import TrainingArguments

    looked_about: Callable[[TrainingArguments], None] = TrainingArguments.__post_init__

    def sees_two(self: TrainingArguments) -> None:
        looked_about(self)
        self._n_gpu = 2

    monkeypatch.setattr(TrainingArguments, "__post_init__", sees_two)
    batches: list[int] = []
    rm = load_reward_model(tiny_rm_folder, device="cpu", dtype="float32")
    forward = rm.logits_for_training

    def counted(model: Any, rows: Sequence[Row]) -> torch.Tensor:
        assert isinstance(model, type(rm.model)), "in a wrapper"
        batches.append(len(rows))
        return forward(model, rows)

    monkeypatch.setattr(rm, "logits_for_training", counted)
    recipe = Recipe(max_steps=1, batch_pairs=2, dtype="float32")
    train_preferences(
        rm, copy.deepcopy(rm.model), PAIRS * 4, recipe, out=tmp_path, seed=0, progress=lambda _done, _total: None
    )
    assert sum(batches) == 2 * recipe.batch_pairs


def test_training_all_weights_asks_for_room_first(tiny_rm_folder: Path) -> None:
    model = load_reward_model(tiny_rm_folder, device="cpu", dtype="float32").model
    weights = sum(parameter.numel() for parameter in model.parameters())
    require_training_room(model, model.device, free_bytes=lambda _place: 16 * weights)
    with pytest.raises(NoRoomError, match=r"--set patch\.lora_rank=16"):
        require_training_room(model, model.device, free_bytes=lambda _place: 16 * weights - 1)


def test_frozen_weights_ask_for_a_copy_alone(tiny_rm_folder: Path) -> None:
    model = load_reward_model(tiny_rm_folder, device="cpu", dtype="float32").model
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    body = model.base_model_prefix + "."
    needed = 4 * sum(sizes.values()) + 12 * sum(n for name, n in sizes.items() if not name.startswith(body))
    assert needed < 5 * sum(sizes.values()), "the head is small"
    require_training_room(model, model.device, (body,), free_bytes=lambda _place: needed)
    with pytest.raises(NoRoomError):
        require_training_room(model, model.device, (body,), free_bytes=lambda _place: needed - 1)


def test_what_a_patch_has_no_room_for_leaves_no_kind_out() -> None:
    many = [finding(attack="gcg", form="salad", response=f"a{n}") for n in range(300)]
    few = [finding(attack="corrupt", form="looping", response=f"b{n}") for n in range(3)]
    shown = of_every_kind([*many, *few], 40, Random(0))
    assert len(shown) == len({one.response for one in shown}) == 40
    assert sum(one.attack == "corrupt" for one in shown) == 3
    assert of_every_kind(few, 40, Random(0)) == few


def test_a_sham_patch_takes_as_many_steps_on_clean_pairs_alone(tiny_rm_folder: Path, tmp_path: Path) -> None:
    rm = load_reward_model(tiny_rm_folder, device="cpu", dtype="float32")
    prompts = [
        Prompt(
            conversation=(Message(role="user", content=f"What is {n}?"),), reference=f"It is {n}.", rejected=("No.",)
        )
        for n in range(8)
    ]
    section = PatchSection(steps=2, batch_pairs=2, findings_share=0)
    report = patch(rm, prompts, [], section, out=tmp_path, seed=0, progress=lambda _done, _total: None)
    assert (report.clean_pairs, report.findings, report.steps) == (4, 0, 2)
    assert (report.families, report.forms) == ((), ())
    after = load_reward_model(tmp_path, device="cpu", dtype="float32")
    assert after.fingerprint != rm.fingerprint
    with pytest.raises(ConfigError, match="no finding with a reference"):
        patch(rm, prompts, [], PatchSection(steps=2), out=tmp_path / "x", seed=0, progress=lambda _done, _total: None)


def test_a_finding_is_left_free_to_fall_and_all_else_is_held(tiny_rm_folder: Path) -> None:
    rm = load_reward_model(tiny_rm_folder, device="cpu", dtype="float32")
    (pair,) = finding_pairs(rm, [finding(prompt=(Message(role="user", content="Why?"),))], 1, Random(0))
    assert pair.rejected_before is None
    assert pair.chosen_before is not None
    prompt = Prompt(conversation=(Message(role="user", content="Why?"),), reference="So.", rejected=("No.",))
    (clean,) = clean_pairs(rm, [prompt], 1, Random(0), anchored=True)
    assert None not in (clean.chosen_before, clean.rejected_before)
