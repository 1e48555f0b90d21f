"""Training on preferences: rows of like lengths together, every reward with its own row, and what is frozen stays."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from miner.config.campaign import PatchSection
from miner.errors import ConfigError
from miner.patching.preference_trainer import (
    FORWARD_PASSES,
    Recipe,
    Row,
    TrainingPair,
    scored_by_length,
    train_preferences,
)
from miner.rewards import load_reward_model


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
