"""A pool of texts that gradient edits move uphill against the RM as it is being trained.

Mined findings sit still while the weights move on, and end just above the bar. A persistent pool, each text moved a
little at every step, is how R2D2 trains against GCG (Mazeika et al. 2024, arXiv:2402.04249); several edits are applied
at once without scoring them, as in HotFlip's training (Ebrahimi et al. 2018, arXiv:1712.06751).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from random import Random

import numpy as np
from transformers import PreTrainedModel

from attacks.climb import apply_all
from corpus.records import Form, Prompt
from miner.patching.pairs import over_nonsense
from miner.patching.preference_trainer import TrainingPair
from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.rewards.base import Pair, SwapRequest

FAMILY = "gradient"
FORM: Form = "salad"
WORDS = (6, 24)  # of a fresh text
EDITS = 4  # of a text at once
REPLACEMENTS = 8  # looked at for each position
LIFETIME = 12  # moves of a text, then it makes room for a fresh one


@dataclass(slots=True)
class _Moving:
    """A text of the pool, beside its prompt's good answer, tokenised."""

    good: Pair
    pair: TrainingPair
    text: str = ""
    age: int = LIFETIME


class OnlineTexts:
    """Called once a step: moves ``n`` texts in turn, and gives them as pairs under their prompts' good answers."""

    def __init__(
        self,
        rm: TransformerRewardModel,
        model: PreTrainedModel,
        prompts: Sequence[Prompt],
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
        answered = [prompt for prompt in prompts if prompt.reference is not None]
        chosen = islice(cycle(rng.sample(answered, len(answered))), pool)
        goods = [Pair(prompt.conversation, str(prompt.reference)) for prompt in chosen]
        made = over_nonsense(rm, [(good, good) for good in goods], floor)
        self._turn = cycle([_Moving(good, pair) for good, pair in zip(goods, made, strict=True)])

    def __call__(self) -> list[TrainingPair]:
        moved = list(islice(self._turn, self._n))
        for one in moved:
            if one.age >= LIFETIME:
                n_words = int(self._draw.integers(*WORDS))
                one.text, one.age = " ".join(self._rm.words(n_words, self._draw)), 0
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
