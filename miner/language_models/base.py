"""What the checks ask of an LM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt


class ReferenceLm(Protocol):
    """Says how likely texts are: a ``LanguageModel``, or an ``NGramModel``."""

    @property
    def fingerprint(self) -> str:
        """Names all that decides the values but their dtype."""

    @property
    def dtype(self) -> str:
        """In which they are computed."""

    def token_nll(self, texts: Sequence[str]) -> list[npt.NDArray[np.float64]]:
        """Per text the negative log-likelihood of each token, in nats; empty for the empty text."""
