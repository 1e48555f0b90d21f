"""Who may see which prompts: a hash of the group key decides, before anything is mined."""

from __future__ import annotations

import math
from dataclasses import dataclass

from corpus.records import Conversation, Split, digest
from miner.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitFractions:
    """Expected share of the *groups* in each split; a split of few groups can come out empty."""

    train: float = 0.6
    calibration: float = 0.2
    held_out: float = 0.2

    def __post_init__(self) -> None:
        shares = (self.train, self.calibration, self.held_out)
        if not all(share >= 0 for share in shares) or not math.isclose(sum(shares), 1.0, abs_tol=1e-9):
            raise ConfigError(f"split fractions must be at least 0 and sum to 1; got {shares}, sum {sum(shares):g}")


def split_of(group_key: str, fractions: SplitFractions, salt: str = "") -> Split:
    """The split of a group: the same on every machine, and unmoved by whatever other groups there are."""
    unit = int(digest([salt, group_key])[:13], 16) / 16**13  # 52 bits: exact in a float, below 1
    if unit < fractions.train:
        return "train"
    return "calibration" if unit < fractions.train + fractions.calibration else "held_out"


def default_group_key(conversation: Conversation) -> str:
    """A digest of the first user turn, blind to case and spacing.

    Every later point of the same conversation, and the same question under another system turn, share it.
    """
    first = next(turn.content for turn in conversation if turn.role == "user")
    return digest(" ".join(first.split()).casefold())
