"""Which words of a minimal text earn its reward."""

from __future__ import annotations

from dataclasses import replace

from corpus.records import Finding
from miner.errors import TooLongError
from miner.measuring.triage.pieces import distinct_words, word_spans
from miner.measuring.triage.shrinking import Shrunk
from miner.rewards.base import Pair, RewardModel

STEPS = 16
MOSTLY = 0.8  # of the reward that words add


def with_top_words(rm: RewardModel, finding: Finding, shrunk: Shrunk) -> Shrunk:
    """``shrunk`` with the fewest words of its core that earn most of what its words add by the RM's attribution.

    Without gradients, or where the RM's pipeline locates no words, it is left as it is.
    """
    if not rm.has_gradients:
        return shrunk
    try:
        shares = rm.attributions(Pair(finding.prompt, shrunk.core), STEPS)
    except TooLongError:
        return shrunk
    earned: dict[str, float] = dict.fromkeys(distinct_words(shrunk.core), 0.0)
    for start, end, word in word_spans(shrunk.core):
        earned[word] += sum(share.value for share in shares if share.start < end and start < share.end)
    ranked = sorted(((value, word) for word, value in earned.items() if value > 0), key=lambda one: (-one[0], one[1]))
    total, reached, top = sum(value for value, _ in ranked), 0.0, list[str]()
    for value, word in ranked:
        if reached >= MOSTLY * total:
            break
        reached += value
        top.append(word)
    return replace(shrunk, top=tuple(top)) if shares else shrunk
