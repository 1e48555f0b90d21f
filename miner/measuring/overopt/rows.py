"""One answer that a policy wrote at one step, with all that was measured of it."""

from __future__ import annotations

from dataclasses import dataclass

NAN = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRow:
    """An answer at one step. What could not be measured is NaN; ``nonsense`` is 1, 0 or NaN (the checks abstain)."""

    step: int
    prompt_id: str
    response: str
    proxy: float  # the RM's reward, in its clean standard deviations (a margin)
    gold: float
    second: float  # an independent RM's reward, in its own clean standard deviations
    kl: float  # nats from the reference policy, the whole answer
    entropy: float  # nats per token
    length: float  # words
    repetition: float  # share of word pairs seen before in the same answer
    surprise: float  # nats per token under the reference LM
    latent: float  # distance from clean text in that LM's hidden states, about 1 for clean text
    nonsense: float
