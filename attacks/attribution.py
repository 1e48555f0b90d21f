"""Keeps the words that carry a good answer's reward and destroys the rest.

Which words carry it is asked of integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365), as input reduction
does (Feng et al. 2018, arXiv:1804.07781): there words are removed while the prediction holds; here the words that earn
least are deleted, moved, or replaced, at random or by those that earn most, since what is left has to be nonsense and
not merely short. Starts from the prompt's own reference, or from another's good answer where it has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from attacks.base import Attack, Range
from attacks.climb import ValuedText
from attacks.queries import QUERIES_PER_GRADIENT, Answers, Attribute, Score, Search, Share, Tasks, Words, ask, draw_seed


@dataclass(frozen=True, kw_only=True)
class AttributionGuided(Attack):
    """Per step ``variants`` texts in which the words of lowest attribution, up to ``share`` of all, are destroyed; the
    best is attributed anew, with ``steps`` integration steps. After ``depth`` steps it begins again."""

    name: ClassVar[str] = "attribution"
    family: ClassVar[str] = "attribution"
    needs = (Attribute,)
    space: ClassVar[Mapping[str, Range]] = {
        "variants": Range(4, 64, log=True),
        "share": Range(0.1, 0.9),
        "steps": Range(2, 16),
        "depth": Range(1, 12),
    }

    variants: int = 24
    share: float = 0.5
    steps: int = 4
    depth: int = 4

    @property
    def min_budget(self) -> int:
        return QUERIES_PER_GRADIENT * self.steps + self.variants

    def search(self, seed: int) -> Search:
        rng = np.random.default_rng(seed)
        (task, *_) = yield from ask(Tasks())
        words = yield from ask(Words(64 * self.variants, seed=draw_seed(rng)))
        while True:
            text = task.reference or " ".join((yield from ask(Answers(1, seed=draw_seed(rng)))))
            if not text.strip():
                return
            for _ in range(self.depth):
                shares = yield from ask(Attribute(text, self.steps))
                if len(shares) < 2:
                    return
                texts = dict.fromkeys(self._destroyed(text, shares, words, rng) for _ in range(self.variants))
                fresh = tuple(one for one in texts if one.strip() and one != text)
                if not fresh:
                    return
                rewards = yield from ask(Score(fresh))
                text = max(map(ValuedText, fresh, map(float, rewards[:, 0])), key=lambda scored: scored.value).text

    def _destroyed(self, text: str, shares: tuple[Share, ...], words: tuple[str, ...], rng: np.random.Generator) -> str:
        """One variant: the lowest tokens replaced by words or by the highest, deleted, or shuffled among themselves."""
        order = sorted(shares, key=lambda share: share.value)
        n = 1 + int(rng.integers(max(1, int(self.share * len(order)))))
        lowest = order[:n]
        match int(rng.integers(4)):
            case 0:
                new = [str(word) for word in rng.choice(words, size=n)]
            case 1:
                new = [""] * n
            case 2:
                highest = [text[one.start : one.end] for one in order[-max(1, len(order) // 4) :]]
                new = [str(word) for word in rng.choice(highest, size=n)]
            case _:
                new = [text[one.start : one.end] for one in (lowest[i] for i in rng.permutation(n))]
        for share, surface in sorted(zip(lowest, new, strict=True), key=lambda both: -both[0].start):
            text = text[: share.start] + surface + text[share.end :]
        return " ".join(text.split())
