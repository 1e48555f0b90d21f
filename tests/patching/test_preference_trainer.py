"""Batches of training: rows of like lengths together, and every reward with its own row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from miner.patching.preference_trainer import FORWARD_PASSES, Row, scored_by_length
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
