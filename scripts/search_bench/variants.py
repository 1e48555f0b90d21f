"""GCG with its parts exchangeable: the published search at one end, ours at the other, every switch between them.

A switch that does not pay lives here alone; what pays is in ``attacks/gcg.py``.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from attacks.base import Attack
from attacks.climb import ValuedText, apply_all
from attacks.gcg import draw_edits
from attacks.queries import Query, RandomSwaps, Relax, Score, Search, Swap, Swaps, SwapTable, Words, ask, draw_seed
from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.rewards.text.pipeline import Encoded

PLAIN: dict[str, Any] = {
    "start": "x", "n_words": 20, "width": 512, "k": 256, "draw": "uniform", "merge": "no", "walk": True,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Variant(Attack):
    """Defaults are those of ``gcg``.

    ``draw`` "uniform" takes position and replacement uniformly, "top" the best predicted anywhere; ``merge`` "all"
    tries every number of helpful edits; ``walk`` moves to the best candidate even if it is worse; ``visited`` leaves
    out texts scored before; ``starts`` random texts are tried and the best is taken; ``relaxed`` gradient steps on soft
    tokens come first; ``adaptive_width`` halves the width after a step that helped, and doubles it after another.
    """

    name: ClassVar[str] = "variant"
    family: ClassVar[str] = "gradient"
    needs = (Swaps,)

    start: Literal["words", "x"] = "words"
    n_words: int = 14
    width: int = 12
    k: int = 8
    rank: float = 2.0
    patience: int = 4
    perturbations: int = 3
    draw: Literal["turns", "uniform", "top"] = "turns"
    merge: Literal["no", "half", "all"] = "half"
    walk: bool = False
    visited: bool = False
    starts: int = 1
    relaxed: int = 0
    adaptive_width: bool = False

    def search(self, seed: int) -> Search:
        rng = np.random.default_rng(seed)
        best = here = yield from self._first(rng)
        seen = {here.text}
        while True:
            stale, width = 0, self.width
            while stale < self.patience or self.walk:
                table = yield from ask(Swaps(here.text, self.k))
                edits = [e for e in self._draw(table, width, rng) if not self.visited or e.apply(here.text) not in seen]
                if not edits:
                    break
                found = yield from self._step(here, edits)
                seen.update(scored.text for scored in found)
                helped = found[0].value > here.value
                if self.adaptive_width:
                    width = max(4, width // 2) if helped else min(4 * self.width, width * 2)
                stale = 0 if helped else stale + 1
                here = found[0] if helped or self.walk else here
            best = max(best, here, key=lambda scored: scored.value)
            swaps = yield from ask(RandomSwaps(best.text, self.perturbations, seed=draw_seed(rng)))
            text = apply_all(best.text, swaps)
            here = ValuedText(text, float((yield from ask(Score((text,))))[0, 0]))

    def _first(self, rng: np.random.Generator) -> Generator[Query[Any], Any, ValuedText]:
        if self.start == "x":
            texts = [" ".join(["x"] * self.n_words)]
        else:
            texts = []
            for _ in range(self.starts):
                texts.append(" ".join((yield from ask(Words(self.n_words, seed=draw_seed(rng))))))
        if self.relaxed:
            texts += yield from ask(Relax(texts[0], self.relaxed, 4, 3.0, 0.5, draw_seed(rng)))
        texts = list(dict.fromkeys(texts))
        rewards = yield from ask(Score(tuple(texts)))
        return max(map(ValuedText, texts, map(float, rewards[:, 0])), key=lambda scored: scored.value)

    def _draw(self, table: SwapTable, width: int, rng: np.random.Generator) -> list[Swap]:
        if self.draw == "turns":
            return list(draw_edits(table, width, self.rank, rng))
        edits = [edit for row in table for edit in row]
        if self.draw == "top":
            return sorted(edits, key=lambda edit: -edit.gain)[:width]
        rows = [row for row in table if row]
        if len(edits) <= width:
            return edits
        drawn: dict[Swap, None] = {}
        while len(drawn) < width:
            row = rows[int(rng.integers(len(rows)))]
            drawn[row[int(rng.integers(len(row)))]] = None
        return list(drawn)

    def _step(self, here: ValuedText, edits: list[Swap]) -> Generator[Query[Any], Any, list[ValuedText]]:
        by_text = {edit.apply(here.text): edit for edit in edits}
        rewards = yield from ask(Score(tuple(by_text)))
        found = sorted(map(ValuedText, by_text, map(float, rewards[:, 0])), key=lambda scored: -scored.value)
        helpful: dict[int, Swap] = {}
        for scored in found:
            if scored.value > here.value:
                helpful.setdefault(by_text[scored.text].start, by_text[scored.text])
        chosen = list(helpful.values())
        numbers = {"no": [], "half": [(len(chosen) + 1) // 2, len(chosen)], "all": list(range(2, len(chosen) + 1))}
        merged = {apply_all(here.text, chosen[:n]) for n in numbers[self.merge] if n > 1}
        fresh = tuple(sorted(merged - set(by_text)))
        if fresh:
            rewards = yield from ask(Score(fresh))
            found = sorted([*found, *map(ValuedText, fresh, map(float, rewards[:, 0]))], key=lambda s: -s.value)
        return found


@contextmanager
def momentum(rm: TransformerRewardModel, share: float) -> Iterator[None]:
    """Every gradient averaged with those of the steps before (Zhang and Wei 2024, arXiv:2405.01229), for one search.

    A text of another length starts afresh: its positions are not those of the text before.
    """
    plain, kept = rm.gradients, dict[str, torch.Tensor]()

    def averaged(encoded: Sequence[Encoded], weights: Sequence[float]) -> list[torch.Tensor]:
        (now,) = plain(encoded, weights)
        before = kept.get("gradient")
        if before is not None and before.shape == now.shape:
            now = share * before + (1 - share) * now
        kept["gradient"] = now
        return [now]

    rm.gradients = averaged  # type: ignore[method-assign]
    try:
        yield
    finally:
        rm.gradients = plain  # type: ignore[method-assign]
