"""Every single-token response, exactly: which tokens are optimal (Christian et al. 2025, arXiv:2506.07326).

Not a search but a census, in vocabulary order; its budget has to cover the vocabulary, so campaigns give it its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from attacks.base import Attack
from attacks.queries import AllTokens, Score, Search, ask


@dataclass(frozen=True, kw_only=True)
class SingleToken(Attack):
    """``batch`` texts a query."""

    name: ClassVar[str] = "single_token"
    family: ClassVar[str] = "exhaustive"

    batch: int = 512

    def search(self, seed: int) -> Search:  # noqa: ARG002  (nothing is drawn)
        tokens = yield from ask(AllTokens())
        for start in range(0, len(tokens), self.batch):
            yield from ask(Score(tokens[start : start + self.batch]))
