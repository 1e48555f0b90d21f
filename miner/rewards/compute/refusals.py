"""Which texts an RM cannot score, and why: too long for it, or turns that its template refuses, in its own words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from miner.checkpoints.folders import first_line
from miner.errors import ModelError, TooLongError
from miner.rewards.base import Pair, RewardModel

Refusal = TooLongError | ModelError


@dataclass(frozen=True, slots=True)
class Readable:
    """The pairs that an RM can score, in their order, and why it cannot score the others."""

    pairs: list[Pair]
    refusals: list[Refusal]


def readable(rm: RewardModel, pairs: Sequence[Pair]) -> Readable:
    """``pairs``, those apart that ``rm`` cannot score: one that is too long or refused costs itself alone.

    Of an RM whose every question may cost money all are taken to be readable.
    """
    if rm.is_billed and rm.can_truncate:
        return Readable(list(pairs), [])
    try:
        rm.lengths(pairs)
    except (TooLongError, ModelError):
        reasons = [rm.refusal(pair) for pair in pairs]
        taken = [pair for pair, reason in zip(pairs, reasons, strict=True) if reason is None]
        return Readable(taken, [reason for reason in reasons if reason is not None])
    return Readable(list(pairs), [])


def why(refusals: Sequence[Refusal]) -> str:
    """How many were refused for which reason, the commonest first."""
    counts = Counter(map(_reason, refusals)).most_common()
    return "; ".join(f"{n} {reason}" for reason, n in counts)


def advice(refusals: Sequence[Refusal]) -> str:
    """What the RM says to do about each reason, as sentences without the last full stop."""
    said = [str(refusal).rpartition(". ")[::2] for refusal in refusals]
    return ". ".join(dict.fromkeys(last for first, last in said if first))


def _reason(refusal: Refusal) -> str:
    if isinstance(refusal, TooLongError):
        return "too long for it"
    first: BaseException = refusal
    while first.__cause__ is not None:
        first = first.__cause__
    return f"refused by its template: {first_line(first)}" if first is not refusal else first_line(refusal)
