"""GCG with its parts exchangeable: the published search at one end, ours at the other, every switch between them.

A switch that does not pay lives here alone; what pays is in ``attacks/gcg.py``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
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


@dataclass(slots=True)
class PositionBandit:
    """Which positions' edits helped so far: a Beta posterior each, drawn from by Thompson sampling."""

    helped: Counter[int] = field(default_factory=Counter)
    tried: Counter[int] = field(default_factory=Counter)
    position: dict[int, int] = field(default_factory=dict)  # of the last table, by where its edits start

    def draw(self, table: SwapTable, width: int, rank: float, rng: np.random.Generator) -> list[Swap]:
        self.position = {row[0].start: at for at, row in enumerate(table) if row}
        rows = {at: list(row) for at, row in enumerate(table) if row}
        drawn: list[Swap] = []
        while rows and len(drawn) < width:
            chances = {at: rng.beta(1 + self.helped[at], 1 + self.tried[at] - self.helped[at]) for at in rows}
            best = max(chances, key=chances.__getitem__)
            drawn.append(rows[best].pop(min(len(rows[best]) - 1, int(rng.exponential(rank)))))
            rows = {at: row for at, row in rows.items() if row}
        return drawn

    def learn(self, edits: Sequence[Swap], value_of: Mapping[str, float], before: ValuedText) -> None:
        for edit in edits:
            if (at := self.position.get(edit.start)) is not None:
                self.tried[at] += 1
                self.helped[at] += value_of[edit.apply(before.text)] > before.value


@dataclass(frozen=True, kw_only=True)
class Variant(Attack):
    """Defaults are those of ``gcg``.

    ``draw`` "uniform" takes position and replacement uniformly, "top" the best predicted anywhere; ``merge`` "all"
    tries every number of helpful edits; ``walk`` moves to the best candidate even if it is worse; ``visited`` leaves
    out texts scored before; ``starts`` random texts are tried and the best is taken; ``relaxed`` gradient steps on soft
    tokens come first; ``adaptive_width`` halves the width after a step that helped, and doubles it after another.

    ``draw`` "bandit" gives candidates to the positions whose edits helped before: Thompson sampling of a Beta posterior
    a position (after Adaptive-GCG and SlotGCG, arXiv:2602.03265). ``warm`` texts, which won on other prompts, are
    scored, and the best is climbed from (after I-GCG, Jia et al. 2024, arXiv:2405.21018).
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
    draw: Literal["turns", "uniform", "top", "bandit"] = "turns"
    merge: Literal["no", "half", "all"] = "half"
    walk: bool = False
    visited: bool = False
    starts: int = 1
    relaxed: int = 0
    adaptive_width: bool = False
    warm: tuple[str, ...] = ()

    def search(self, seed: int) -> Search:
        rng = np.random.default_rng(seed)
        best = here = yield from self._first(rng)
        seen, bandit = {here.text}, PositionBandit()
        while True:
            stale, width = 0, self.width
            while stale < self.patience or self.walk:
                table = yield from ask(Swaps(here.text, self.k))
                edits = [
                    e
                    for e in self._draw(table, width, rng, bandit)
                    if not self.visited or e.apply(here.text) not in seen
                ]
                if not edits:
                    break
                found = yield from self._step(here, edits)
                bandit.learn(edits, {scored.text: scored.value for scored in found}, here)
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
        if self.warm:
            texts = list(self.warm)
        elif self.start == "x":
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

    def _draw(self, table: SwapTable, width: int, rng: np.random.Generator, bandit: PositionBandit) -> list[Swap]:
        if self.draw == "turns":
            return list(draw_edits(table, width, self.rank, rng))
        if self.draw == "bandit":
            return bandit.draw(table, width, self.rank, rng)
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


@contextmanager
def damped_layer_norms(rm: TransformerRewardModel, share: float) -> Iterator[None]:
    """Scales every gradient that passes a LayerNorm by ``share``: more of it comes by the residual way (LSGM: Li et al.
    2024, arXiv:2405.20778)."""

    def damped(_module: torch.nn.Module, found: Any, _given: Any) -> Any:
        return tuple(gradient if gradient is None else share * gradient for gradient in found)

    norms = [module for name, module in rm.model.named_modules() if "norm" in type(module).__name__.lower()]
    hooks = [norm.register_full_backward_hook(damped) for norm in norms]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
