"""One word over and over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from attacks import Attack, Construction, Score, Search, Words, ask

REPEATED: Construction = "repeated_token"


@dataclass(frozen=True, kw_only=True)
class Echo(Attack):
    """Says ``width`` random words a step, each ``times`` times."""

    name: ClassVar[str] = "echo"
    family: ClassVar[str] = "echo"

    width: int = 8
    times: int = 8

    def search(self, seed: int) -> Search:
        while True:
            words = yield from ask(Words(self.width, seed=seed))
            texts = tuple(dict.fromkeys(" ".join([word] * self.times) for word in words))
            yield from ask(Score(texts, constructions=(REPEATED,) * len(texts)))
            seed += 1
