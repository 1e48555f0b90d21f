"""The model under test, its texts, and what plain transformers gives for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from corpus.records import Prompt
from miner.checkpoints.devices import device_of
from miner.rewards.base import Pair, RewardModel
from miner.rewards.compute.forward import Forward

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Floats = npt.NDArray[np.float64]
N_COMPARED = 12  # texts scored alone, padded and cached
LOW_PRECISION = 50.0
SAME = 1e-4  # reward difference that rounding explains, at a spread of one


@dataclass(frozen=True)
class ModelUnderTest:
    """A reward model of any kind. ``prompts`` have references; ``owned`` says whether they are the user's own data."""

    rm: RewardModel
    prompts: tuple[Prompt, ...]
    owned: bool

    @cached_property
    def references(self) -> tuple[Pair, ...]:
        return tuple(Pair(p.conversation, p.reference) for p in self.prompts if p.reference)

    @cached_property
    def clean(self) -> tuple[Pair, ...]:
        """The clean texts that set the bar: the references, unless the RM only compares with them."""
        return tuple(self.rm.clean_pairs(self.prompts))

    @cached_property
    def clean_rewards(self) -> Floats:
        """In fp32 where the model fits."""
        return self.rm.exact_rewards(self.clean)

    @cached_property
    def rewards(self) -> Floats:
        """Of the references, in fp32 where the model fits."""
        return self.clean_rewards if self.clean == self.references else self.rm.exact_rewards(self.references)

    @cached_property
    def spread(self) -> float:
        """Standard deviation of the clean texts' rewards: the unit of every comparison."""
        return float(self.clean_rewards.std())

    @property
    def rounding(self) -> float:
        """How much coarser than fp32 the confirming dtype rounds, for limits that were set for fp32."""
        return 1.0 if self.rm.reward_dtype in ("float32", "float64") else LOW_PRECISION

    def in_spreads(self, one: Floats, other: Floats) -> float:
        """The largest difference, in standard deviations of clean rewards; infinite where one is not finite."""
        gap = np.abs(one - other)
        return float(gap.max() / max(self.spread, 1e-9)) if np.isfinite(gap).all() else float("inf")


@dataclass(frozen=True)
class LocalModelUnderTest(ModelUnderTest):
    """A reward model whose weights and tokenizer, in ``folder``, are at hand: ``forward`` computes with them."""

    forward: Forward
    folder: Path

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        return self.forward.pipeline.tokenizer

    @property
    def is_causal(self) -> bool:
        return self.forward.is_causal

    @cached_property
    def compared(self) -> tuple[Pair, ...]:
        """A few references of all lengths, shortest and longest among them."""
        ordered = sorted(self.references, key=lambda pair: (self.rm.n_tokens(pair), pair.response))
        places = np.linspace(0, len(ordered) - 1, min(N_COMPARED, len(ordered))).round().astype(int)
        return tuple(ordered[i] for i in dict.fromkeys(places.tolist()))

    @cached_property
    def rows(self) -> list[tuple[int, ...]]:
        """Token ids of ``compared``."""
        return [ids for ids, _ in self.forward.pipeline.ids(self.compared)]

    @cached_property
    def alone(self) -> Floats:
        """``compared`` in plain transformers, one at a time."""
        return np.array([self.plain([index], side="right")[0] for index in range(len(self.compared))])

    def plain(self, indices: Sequence[int], *, side: str) -> Floats:
        """Rewards of some of ``compared`` as a plain padded batch in transformers, its own pooling and positions."""
        rows, types = zip(*self.forward.pipeline.ids([self.compared[i] for i in indices]), strict=True)
        batch: dict[str, Any] = {"input_ids": list(map(list, rows))}
        if "token_type_ids" in self.tokenizer.model_input_names:
            batch["token_type_ids"] = list(map(list, types))
        return self.own_rewards(batch, side=side)

    def own_rewards(self, batch: dict[str, Any], *, side: str) -> Floats:
        """Rewards by the model's own forward of rows of ids, padded as the tokenizer pads."""
        import torch

        scorer: Any = self.forward.model
        if len(batch["input_ids"]) == 1:
            inputs = {name: torch.tensor(values) for name, values in batch.items()}
            inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        else:
            inputs = dict(self.tokenizer.pad(batch, padding_side=side, return_tensors="pt"))
        with torch.inference_mode():
            output = scorer(**{name: value.to(device_of(scorer)) for name, value in inputs.items()})
            rewards = self.forward.readout.of_output(output, n_rows=len(batch["input_ids"]))
        values: Floats = rewards.float().cpu().numpy().astype(np.float64)
        return values
