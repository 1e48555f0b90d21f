"""The yardsticks that reward models of real pairs are held against, and how the pairs are split."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from miner.data import read_preferences
from scripts.real_bench.data import FRACTIONS, AnnotatedPair, of_split, read_pairs
from scripts.real_bench.models import bag_of_words, length

WORDS = ("stone", "river", "cloud", "grass", "lamp", "chair", "paper", "glass")


def made(n: int) -> list[AnnotatedPair]:
    """Pairs whose better answer says "indeed", and is the longer in three of four."""
    pairs = []
    for at in range(n):
        told = " ".join(WORDS[(at + k) % len(WORDS)] for k in range(4))
        pairs.append(
            AnnotatedPair(f"Tell of {at}.", f"{told} indeed", told + (" again and again" if at % 4 == 0 else ""))
        )
    return pairs


def test_a_bag_of_words_learns_the_word_that_tells() -> None:
    pairs = made(60)
    found = bag_of_words(pairs[:40], pairs[40:])
    assert found.shape == (20,)
    assert np.mean(found > 0) == 1.0


def test_length_learns_which_way_and_a_tie_prefers_neither() -> None:
    pairs = made(60)
    assert np.mean(length(pairs[:40], pairs[40:]) > 0) == 0.75
    turned = [AnnotatedPair(one.instruction, one.rejected, one.chosen) for one in pairs]
    assert np.mean(length(turned[:40], turned[40:]) > 0) == 0.75
    assert length(pairs[:40], [AnnotatedPair("?", "abc", "xyz")])[0] == 0


@pytest.mark.parametrize("packed", [True, False])
def test_pairs_are_split_as_a_campaign_on_the_same_file_splits_them(tmp_path: Path, *, packed: bool) -> None:
    pairs = made(120)
    rows = "".join(
        json.dumps({"prompt": one.instruction, "chosen": one.chosen, "rejected": one.rejected}) + "\n" for one in pairs
    ).encode()
    path = tmp_path / ("pairs.jsonl.gz" if packed else "pairs.jsonl")
    path.write_bytes(gzip.compress(rows) if packed else rows)
    assert read_pairs(path) == pairs
    prompts = read_preferences(path, split_fractions=FRACTIONS).prompts
    for split in ("train", "calibration", "held_out"):
        ours = {one.instruction for one in of_split(pairs, split)}
        assert len(ours) > 5
        assert ours == {one.conversation[0].content for one in prompts.in_split(split)}
