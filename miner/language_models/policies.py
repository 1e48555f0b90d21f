"""Policies of any kind: what a campaign samples from, opened from its table in the campaign file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from attacks.queries import Continuation
from corpus.records import Conversation
from miner.config.campaign import PolicySection
from miner.config.kinds import POLICIES, kind_called
from miner.language_models.loading import load_language_model
from miner.language_models.model import LanguageModel, Samples


class Policy(Protocol):
    """Writes responses, and says how likely texts are. ``LanguageModel`` documents what each method promises."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str:
        """Names all that decides what is sampled: weights, config, tokenizer, or the service behind it."""
        ...

    @property
    def dtype(self) -> str: ...

    def token_nll(self, texts: Sequence[str]) -> list[npt.NDArray[np.float64]]:
        """Per text the negative log-likelihood of each token, in nats; empty for the empty text."""
        ...

    def sample(self, prompt: Conversation, n: int, *, seed: int, max_new_tokens: int) -> Samples:
        """``n`` continuations of ``prompt``, the same for the same seed."""
        ...

    def next_tokens(
        self, prompt: Conversation, prefixes: Sequence[str], k: int
    ) -> tuple[tuple[tuple[Continuation, ...], ...], int]:
        """Per prefix the ``k`` likeliest continuations by one token, and the tokens read for all of them."""
        ...


def open_policy(section: PolicySection, *, device: str) -> Policy:
    """The policy that ``section`` describes.

    Raises:
        ModelError: see the opener of its kind. ConfigError: no such kind is installed.
    """
    policy: Policy = kind_called(section.kind, POLICIES).load()(section, device)
    return policy


def open_causal(section: PolicySection, device: str) -> LanguageModel:
    return load_language_model(
        section.source, revision=section.revision, trust_remote_code=section.trust_remote_code, device=device
    )
