"""The forward pass of an RM whose weights are in this process: from rows of token ids to rewards and gradients.

Attribution, latents, relaxation, gradient swaps, replicas and training take this, and nothing of the adapter around it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from miner.checkpoints.batching import TokenBudget
from miner.checkpoints.devices import device_map_of
from miner.checkpoints.quantised import dtype_name, quantisation
from miner.rewards.base import Pair, no_gradients
from miner.rewards.compute.gradients import EmbeddingTable, embedding_leaf
from miner.rewards.compute.readout import Readout
from miner.rewards.text.pipeline import Encoded, Pipeline, Row
from miner.rewards.text.swaps import NEUTRAL_PROMPT
from miner.rewards.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedModel

GRADIENT_MEMORY = 4  # tokens of a forward pass that one token of a backward pass takes the memory of
BATCH_INVARIANT = ("float32", "float64")  # in others padding and shared beginnings move a reward visibly
NO_GRAPH = (RuntimeError, TypeError, ValueError, AttributeError, IndexError)  # no graph, or embeddings bypassed

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ScoredText:
    """A text's reward, and the length of its whole input in tokens."""

    reward: float
    n_tokens: int


@dataclass(kw_only=True, eq=False)
class Forward(ABC):
    """``model`` confirms and ``ranking_model`` ranks; they are the same where one dtype does both.

    A kind of model says how rows become rewards (``logits``); how rows are batched, and where its columns begin, where
    that is not padding on the right.
    """

    name: str
    model: PreTrainedModel
    ranking_model: PreTrainedModel
    pipeline: Pipeline
    vocabulary: Vocabulary
    budget: TokenBudget
    readout: Readout = field(default_factory=Readout)
    pad_id: int = field(init=False)
    reward_dtype: str = field(init=False)
    ranking_dtype: str = field(init=False)
    batch_invariant: bool = field(init=False)
    device: str = field(init=False)
    reads_its_models_output: ClassVar[bool] = False  # whether ``readout`` finds the reward in the model's own output
    is_causal: ClassVar[bool] = False  # whether tokens see only what is before them, so that either side may be padded

    def __post_init__(self) -> None:
        self.reward_dtype = dtype_name(self.model)
        self.ranking_dtype = dtype_name(self.ranking_model)
        self.batch_invariant = self.ranking_dtype in BATCH_INVARIANT
        spread = device_map_of(self.model)
        self.device = ", ".join(sorted({str(place or "disk") for place in spread.values()})) or str(self.model.device)
        table = input_embeddings(self.ranking_model)
        self.pad_id = self._padding(table)
        self._embeddings = None if table is None else EmbeddingTable(table)

    def _padding(self, table: torch.nn.Module | None) -> int:
        """The id that fills up shorter rows: masked out, so any does that has an embedding."""
        config = self.model.config.get_text_config()
        wanted = (self.pipeline.tokenizer.pad_token_id, getattr(config, "pad_token_id", None))
        end = len(table.weight) if table is not None and isinstance(table.weight, torch.Tensor) else None
        return next((int(i) for i in wanted if i is not None and i >= 0 and (end is None or i < end)), 0)

    @abstractmethod
    def logits(
        self, model: PreTrainedModel, rows: Sequence[Row], groups: Sequence[Hashable] | None = None
    ) -> torch.Tensor:
        """One reward per row: shape (n_rows,), in its head's dtype. Rows of a group may share computations."""

    def logits_for_training(self, model: PreTrainedModel, rows: Sequence[Row]) -> torch.Tensor:
        """Rewards of tokenised rows by ``model``, differentiable in its weights: shape (n_rows,)."""
        return self.logits(model, rows)

    def burdens(self, rows: Sequence[Row], groups: Sequence[Hashable]) -> list[int]:
        """What each row takes of a batch, in tokens."""
        del groups
        return [len(ids) for ids, _ in rows]

    def order(self, rows: Sequence[Row], groups: Sequence[Hashable]) -> list[int] | None:
        """The order to batch rows in; None is longest first."""
        del rows, groups
        return None

    def first_column(self, width: int, length: int) -> int:
        """Column of a row's first token in a batch padded to ``width``."""
        del width, length
        return 0

    def read_at(self, ids: tuple[int, ...]) -> int | None:
        """Index of the one token at whose hidden state the reward is read; None where it is not one alone."""
        del ids
        return None

    def other_ways(self) -> Mapping[str, Forward]:
        """The same rewards computed in other ways, by name: whoever doubts a short cut compares them."""
        return {}

    def values(self, model: PreTrainedModel, rows: Sequence[Row], groups: Sequence[Hashable] | None = None) -> Floats:
        """``logits`` without a graph: shape (n_rows,)."""
        with torch.inference_mode():
            values: Floats = self.logits(model, rows, groups).float().cpu().numpy().astype(np.float64)
        return values

    def alone(self, pair: Pair) -> ScoredText:
        """By the confirming model, in a batch of its own."""
        rows = self.pipeline.ids([pair])
        values = self.budget.run([len(rows[0][0])], lambda _: self.values(self.model, rows))
        return _with_lengths(values, rows)[0]

    def exact(self, pairs: Sequence[Pair]) -> list[ScoredText]:
        """By the confirming model, within 1e-4 of ``alone``."""
        if self.reward_dtype != "float32":  # padding alone moves a bf16 reward by more than is promised
            return [self.alone(pair) for pair in pairs]
        return self._batched(self.model, pairs)

    def ranked(self, pairs: Sequence[Pair]) -> list[ScoredText]:
        """By the ranking model."""
        return self._batched(self.ranking_model, pairs)

    def _batched(self, model: PreTrainedModel, pairs: Sequence[Pair]) -> list[ScoredText]:
        rows, groups = self.pipeline.ids(pairs), [pair.prompt for pair in pairs]

        def forward(batch: list[int]) -> Floats:
            return self.values(model, [rows[i] for i in batch], [groups[i] for i in batch])

        return _with_lengths(self.budget.run(self.burdens(rows, groups), forward, self.order(rows, groups)), rows)

    def embedding_rows(self) -> torch.Tensor:
        """What the ranking model's embedding puts out for every token, fp32: (n_tokens, hidden).

        Raises:
            CapabilityError: the model's own code names no embedding.
        """
        if self._embeddings is None:
            raise no_gradients(self.name)
        return self._embeddings.rows()

    def gradients(self, encoded: Sequence[Encoded], weights: Sequence[float]) -> list[torch.Tensor]:
        """Per text the gradient of weight · reward at its response's embeddings: (n_positions, hidden), fp32."""
        gradients: dict[int, torch.Tensor] = {}

        def backward(batch: list[int]) -> Floats:
            with torch.enable_grad(), embedding_leaf(self.ranking_model.get_input_embeddings()) as leaf:
                values = self.logits(self.ranking_model, [encoded[i].row for i in batch]).float()
                scale = torch.tensor([weights[i] for i in batch], device=values.device)
                (gradient,) = torch.autograd.grad((values * scale).sum(), leaf())
            for row, i in enumerate(batch):
                shift = self.first_column(gradient.shape[1], len(encoded[i].ids))
                gradients[i] = gradient[row, [p + shift for p in encoded[i].positions]].float()
            return np.zeros(len(batch))

        self.budget.run([len(one.ids) for one in encoded], backward, memory_factor=GRADIENT_MEMORY)
        return [gradients[i] for i in range(len(encoded))]

    def can_differentiate(self) -> bool:
        """Whether rewards can be differentiated by the input embeddings: tried where the model's code may not allow."""
        if self._embeddings is None:
            return False
        return self._differentiates() if self.may_lack_gradients() else True

    def may_lack_gradients(self) -> bool:
        return quantisation(self.ranking_model) is not None

    def _differentiates(self) -> bool:
        try:
            self.gradients([self.pipeline.encode(Pair(NEUTRAL_PROMPT, "Hello there."))], [1.0])
        except NO_GRAPH:
            return False
        return True


def _with_lengths(values: Floats, rows: Sequence[Row]) -> list[ScoredText]:
    return [ScoredText(value, len(ids)) for value, (ids, _) in zip(values.tolist(), rows, strict=True)]


def input_embeddings(model: PreTrainedModel) -> torch.nn.Module | None:
    """The module that embeds the tokens; None where a model's own code names none."""
    try:
        found = model.get_input_embeddings()
    except (NotImplementedError, AttributeError):
        return None
    return found if isinstance(found, torch.nn.Module) else None
