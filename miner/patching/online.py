"""A pool of texts that gradient edits move uphill against the RM as it is being trained.

Mined findings sit still while the weights move on, and end just above the bar. A persistent pool, each text moved a
little at every step, is how R2D2 trains against GCG (Mazeika et al. 2024, arXiv:2402.04249); several edits are applied
at once without scoring them, as in HotFlip's training (Ebrahimi et al. 2018, arXiv:1712.06751).

Half of the pool begins as mined findings: as the weights move, their texts move along, which is what the attack
``carried`` does to a patch afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from random import Random

import numpy as np
from transformers import PreTrainedModel

from attacks.climb import apply_all
from corpus.records import Finding, Form, Prompt
from miner.patching.pairs import over_nonsense
from miner.patching.preference_trainer import TrainingPair
from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.rewards.base import Pair, SwapRequest

FAMILY = "gradient"
FORM: Form = "salad"
WORDS = (6, 24)  # of a fresh text
EDITS = 4  # of a text at once
REPLACEMENTS = 8  # looked at for each position
LIFETIME = 12  # moves of a text, then it begins anew


@dataclass(slots=True)
class _Moving:
    """A text of the pool, beside its prompt's good answer, tokenised; without a ``start`` it begins as random words."""

    good: Pair
    pair: TrainingPair
    start: str = ""
    text: str = ""
    age: int = LIFETIME


class OnlineTexts:
    """Called once a step: moves ``n`` texts in turn, and gives them as pairs under their prompts' good answers."""

    def __init__(
        self,
        rm: TransformerRewardModel,
        model: PreTrainedModel,
        prompts: Sequence[Prompt],
        findings: Sequence[Finding],
        *,
        n: int,
        pool: int,
        floor: float | None,
        seed: int,
    ) -> None:
        """``model`` is the copy that is being trained; ``rm`` says what its good answers scored before."""
        rng = Random(f"online|{seed}")
        self._rm = replace(rm, model=model, ranking_model=model, fleet=None)
        self._draw, self._n = np.random.default_rng(rng.getrandbits(32)), n
        found = [(one.prompt, str(one.reference), one.response) for one in findings]
        begun = list(islice(cycle(rng.sample(found, len(found))), pool // 2))
        fresh = [(p.conversation, p.reference, "") for p in prompts if p.reference is not None]
        begun += islice(cycle(rng.sample(fresh, len(fresh))), pool - len(begun))
        rng.shuffle(begun)
        goods = [Pair(conversation, reference) for conversation, reference, _ in begun]
        made = over_nonsense(rm, [(good, good) for good in goods], floor)
        self._turn = cycle(
            [_Moving(good, pair, text) for good, pair, (_, _, text) in zip(goods, made, begun, strict=True)]
        )

    def __call__(self) -> list[TrainingPair]:
        moved = list(islice(self._turn, self._n))
        for one in moved:
            if one.age >= LIFETIME:
                one.text, one.age = one.start or self._random_words(), 0
        was_training = self._rm.model.training
        self._rm.model.eval()
        requests = [SwapRequest((one.good.prompt,), (1.0,), one.text, REPLACEMENTS) for one in moved]
        for one, table in zip(moved, self._rm.swaps(requests), strict=True):
            best = sorted((row[0] for row in table if row), key=lambda swap: -swap.gain)
            one.text = apply_all(one.text, [swap for swap in best[:EDITS] if swap.gain > 0])
            one.age += 1
        self._rm.model.train(was_training)
        rows = self._rm.pipeline.ids([Pair(one.good.prompt, one.text) for one in moved])
        return [replace(one.pair, rejected=row) for one, row in zip(moved, rows, strict=True)]

    def _random_words(self) -> str:
        return " ".join(self._rm.words(int(self._draw.integers(*WORDS)), self._draw))
