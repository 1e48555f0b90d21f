"""Real preference pairs, split by instruction as a campaign on the same file splits them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus.records import Conversation, Message, Split
from miner.data.splits import SplitFractions, default_group_key, split_of

FRACTIONS = SplitFractions(train=0.6, calibration=0.15, held_out=0.25)


@dataclass(frozen=True, slots=True)
class AnnotatedPair:
    """An instruction with the answer that its annotator preferred, and the other."""

    instruction: str
    chosen: str
    rejected: str

    @property
    def conversation(self) -> Conversation:
        return (Message(role="user", content=self.instruction),)

    @property
    def split(self) -> Split:
        return split_of(default_group_key(self.conversation), FRACTIONS)


def read_pairs(path: Path) -> list[AnnotatedPair]:
    """The pairs of a (gzipped) JSONL file with ``prompt``, ``chosen`` and ``rejected``."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    rows = [json.loads(line) for line in text.splitlines()]
    return [AnnotatedPair(row["prompt"], row["chosen"], row["rejected"]) for row in rows]


def of_split(pairs: Sequence[AnnotatedPair], split: Split) -> list[AnnotatedPair]:
    return [pair for pair in pairs if pair.split == split]
