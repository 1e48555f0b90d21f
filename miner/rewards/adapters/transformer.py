"""What reward models that transformers loads as sequence classifiers share, encoder or causal."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from attacks.queries import Share, Swap, SwapTable
from corpus.records import digest
from miner.checkpoints.batching import TokenBudget
from miner.checkpoints.devices import device_map_of
from miner.checkpoints.quantised import dtype_name, quantisation
from miner.rewards.base import Pair, RelaxRequest, RewardModel, SwapRequest
from miner.rewards.compute.fleet import Fleet
from miner.rewards.compute.gradients import EmbeddingTable, best_by_gain, embedding_leaf
from miner.rewards.compute.readout import Readout
from miner.rewards.text.pipeline import Encoded, Pipeline, Row
from miner.rewards.text.swaps import NEUTRAL_PROMPT, EditableText, lone_tokens
from miner.rewards.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedModel

T = TypeVar("T")
R = TypeVar("R")
GRADIENT_MEMORY = 4  # tokens of a forward pass that one token of a backward pass takes the memory of
BATCH_INVARIANT = ("float32", "float64")  # in others padding and shared beginnings move a reward visibly
LENGTHS_KEPT = 1 << 16  # of the texts scored last
TRIED_PER_WANTED = 16  # behind a word's first piece most tokens do not survive


@dataclass(frozen=True, slots=True)
class _Scored:
    reward: float
    n_tokens: int


@dataclass(kw_only=True, eq=False)
class TransformerRewardModel(RewardModel):
    """``model`` confirms and ``ranking_model`` ranks; they are the same where one dtype does both.

    ``fleet`` has the replicas on other devices, this one the first among them; None where there are none.
    """

    name: str
    fingerprint: str
    model: PreTrainedModel
    ranking_model: PreTrainedModel
    pipeline: Pipeline
    vocabulary: Vocabulary
    budget: TokenBudget
    readout: Readout = field(default_factory=Readout)
    fleet: Fleet[TransformerRewardModel] | None = None
    pad_id: int = field(init=False)
    pipeline_hash: str = field(init=False)
    reward_dtype: str = field(init=False)
    ranking_dtype: str = field(init=False)
    flops_per_token: float = field(init=False)
    device: str = field(init=False)
    n_parameters: int = field(init=False)

    @property
    def is_trainable(self) -> bool:  # type: ignore[override]
        """A model spread over devices is not, whose weights come and go, nor is a quantised one."""
        return not device_map_of(self.model) and quantisation(self.model) is None

    def __post_init__(self) -> None:
        self.pipeline_hash = digest([self.pipeline.hash, *self.head_identity()])
        self.reward_dtype = dtype_name(self.model)
        self.ranking_dtype = dtype_name(self.ranking_model)
        self.batch_invariant = self.ranking_dtype in BATCH_INVARIANT
        table = input_embeddings(self.ranking_model)
        self._embeddings = None if table is None else EmbeddingTable(table)
        table = input_embeddings(self.model)
        embedded = 0 if table is None else sum(p.numel() for p in table.parameters())
        self.flops_per_token = 2.0 * (sum(p.numel() for p in self.model.parameters()) - embedded)
        spread = device_map_of(self.model)
        self.device = ", ".join(sorted({str(place or "disk") for place in spread.values()})) or str(self.model.device)
        self.n_parameters = sum(p.numel() for p in self.model.parameters())
        pad = self.pipeline.tokenizer.pad_token_id
        self.pad_id = 0 if pad is None else int(pad)  # masked out, so any id does
        tokenizer = self.pipeline.tokenizer
        self.special_tokens = tuple(
            token for token in {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()} if token
        )
        self._all_tokens: tuple[str, ...] | None = None
        self._lengths: dict[Pair, int] = {}  # in tokens, as the scoring found them

    @abstractmethod
    def head_identity(self) -> list[object]:
        """Where and by what the reward is read off."""

    @abstractmethod
    def _logits(
        self, model: PreTrainedModel, rows: Sequence[Row], groups: Sequence[Hashable] | None = None
    ) -> torch.Tensor:
        """One reward per row: shape (n_rows,), in the model's dtype. Rows of a group may share computations."""

    def _burdens(self, rows: Sequence[Row], groups: Sequence[Hashable]) -> list[int]:
        """What each row takes of a batch, in tokens."""
        del groups
        return [len(ids) for ids, _ in rows]

    def _order(self, rows: Sequence[Row], groups: Sequence[Hashable]) -> list[int] | None:
        """The order to batch rows in; None is longest first."""
        del rows, groups
        return None

    def first_column(self, width: int, length: int) -> int:
        """Column of a row's first token in a batch padded to ``width``."""
        del width, length
        return 0

    @property
    def lost_devices(self) -> tuple[str, ...]:
        return tuple(self.fleet.lost) if self.fleet else ()

    def reward(self, pair: Pair) -> float:
        return float(self._scored([pair], lambda rm, part: [rm._scored_alone(one) for one in part])[0])

    def exact_rewards(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        return self._scored(pairs, lambda rm, part: rm._exact_rewards(part))

    def rewards(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        return self._scored(pairs, lambda rm, part: rm._batched(rm.ranking_model, part))

    def _scored(
        self, pairs: Sequence[Pair], work: Callable[[TransformerRewardModel, Sequence[Pair]], list[_Scored]]
    ) -> npt.NDArray[np.float64]:
        """The rewards; how long the texts were is remembered."""
        return self._remembered(pairs, self._spread(pairs, work))

    def rewards_apart(self, parts: Sequence[Sequence[Pair]]) -> list[npt.NDArray[np.float64]]:
        scored = self._spread(parts, lambda rm, some: [rm._batched(rm.ranking_model, part) for part in some])
        return [self._remembered(part, of_part) for part, of_part in zip(parts, scored, strict=True)]

    def _remembered(self, pairs: Sequence[Pair], scored: Sequence[_Scored]) -> npt.NDArray[np.float64]:
        self._lengths.update((pair, one.n_tokens) for pair, one in zip(pairs, scored, strict=True))
        for oldest in list(islice(self._lengths, max(0, len(self._lengths) - LENGTHS_KEPT))):
            del self._lengths[oldest]
        return np.array([one.reward for one in scored], dtype=np.float64)

    def _spread(
        self, items: Sequence[T], work: Callable[[TransformerRewardModel, Sequence[T]], Sequence[R]]
    ) -> Sequence[R]:
        return self.fleet.spread(items, work) if self.fleet else work(self, items)

    def _scored_alone(self, pair: Pair) -> _Scored:
        """In a batch of its own."""
        rows = self.pipeline.ids([pair])
        values = self.budget.run([len(rows[0][0])], lambda _: self._values(self.model, rows, None))
        return _with_lengths(values, rows)[0]

    def _exact_rewards(self, pairs: Sequence[Pair]) -> list[_Scored]:
        if self.reward_dtype != "float32":  # padding alone moves a bf16 reward by more than is promised
            return [self._scored_alone(pair) for pair in pairs]
        return self._batched(self.model, pairs)

    def _batched(self, model: PreTrainedModel, pairs: Sequence[Pair]) -> list[_Scored]:
        rows, groups = self.pipeline.ids(pairs), [pair.prompt for pair in pairs]

        def forward(batch: list[int]) -> npt.NDArray[np.float64]:
            return self._values(model, [rows[i] for i in batch], [groups[i] for i in batch])

        return _with_lengths(self.budget.run(self._burdens(rows, groups), forward, self._order(rows, groups)), rows)

    def _values(
        self, model: PreTrainedModel, rows: Sequence[Row], groups: Sequence[Hashable] | None
    ) -> npt.NDArray[np.float64]:
        with torch.inference_mode():
            values: npt.NDArray[np.float64] = self._logits(model, rows, groups).float().cpu().numpy().astype(np.float64)
        return values

    def logits_for_training(self, model: PreTrainedModel, rows: Sequence[Row]) -> torch.Tensor:
        """Rewards of tokenised rows by ``model``, differentiable in its weights: shape (n_rows,)."""
        return self._logits(model, rows)

    def embedding_rows(self) -> torch.Tensor:
        """What the ranking model's embedding puts out for every token, fp32: (n_tokens, hidden)."""
        if self._embeddings is None:
            raise self._no_gradients()
        return self._embeddings.rows()

    @cached_property
    def has_gradients(self) -> bool:
        """Whether rewards can be differentiated by the input embeddings: tried where the model's code may not allow."""
        if self._embeddings is None:
            return False
        return self._tried_gradients() if self._may_lack_gradients() else True

    def _may_lack_gradients(self) -> bool:
        return quantisation(self.ranking_model) is not None

    def _tried_gradients(self) -> bool:
        try:
            self._gradients([self.pipeline.encode(Pair(NEUTRAL_PROMPT, "Hello there."))], [1.0])
        except (RuntimeError, TypeError, ValueError, AttributeError, IndexError):  # no graph, or embeddings bypassed
            return False
        return True

    def _require_gradients(self) -> None:
        if not self.has_gradients:
            raise self._no_gradients()

    def flops(self, n_tokens: int) -> float:
        config = self.model.config.get_text_config()
        quadratic = 4.0 * int(config.num_hidden_layers) * int(config.hidden_size)
        return self.flops_per_token * n_tokens + quadratic * n_tokens**2

    def n_tokens(self, pair: Pair) -> int:
        return self.lengths([pair])[0]

    def lengths(self, pairs: Sequence[Pair]) -> list[int]:
        """Of texts that were scored lately as the scoring found them, of others by the tokenizer."""
        known = {pair: self._lengths[pair] for pair in pairs if pair in self._lengths}
        others = list(dict.fromkeys(pair for pair in pairs if pair not in known))
        known.update((pair, len(ids)) for pair, (ids, _) in zip(others, self.pipeline.ids(others), strict=True))
        return [known[pair] for pair in pairs]

    def swaps(self, requests: Sequence[SwapRequest]) -> list[SwapTable]:
        self._require_gradients()
        return list(self._spread(requests, lambda rm, part: rm._swaps(part)))

    def _swaps(self, requests: Sequence[SwapRequest]) -> list[SwapTable]:
        if self.batch_invariant:
            return self._swaps_together(requests)
        return [table for request in requests for table in self._swaps_together([request])]

    def _swaps_together(self, requests: Sequence[SwapRequest]) -> list[SwapTable]:
        texts = [EditableText.of(self.pipeline, self.vocabulary, one.prompts, one.response) for one in requests]
        weights = [weight for request in requests for weight in request.weights]
        gradients = iter(self._gradients([one for text in texts for one in text.encoded], weights))
        return [
            self._table(text, [next(gradients) for _ in text.encoded], request.k)
            for text, request in zip(texts, requests, strict=True)
        ]

    def _table(self, text: EditableText, gradients: Sequence[torch.Tensor], k: int) -> SwapTable:
        """Empty positions where the prompts do not agree on the response's tokens."""
        first = text.encoded[0]
        if not text.has_positions:
            return tuple(() for _ in first.positions)
        rows = self.embedding_rows()
        here = torch.tensor([first.ids[i] for i in first.positions], device=rows.device)
        allowed = torch.from_numpy(self.vocabulary.allowed).to(rows.device)
        gradient = torch.stack(list(gradients)).sum(0)  # (n_positions, hidden)
        return text.table(best_by_gain(gradient, rows, here, allowed, TRIED_PER_WANTED * k), k)

    def _gradients(self, encoded: Sequence[Encoded], weights: Sequence[float]) -> list[torch.Tensor]:
        """Per text the gradient of weight · reward at its response's embeddings: (n_positions, hidden), fp32."""
        gradients: dict[int, torch.Tensor] = {}

        def backward(batch: list[int]) -> npt.NDArray[np.float64]:
            with torch.enable_grad(), embedding_leaf(self.ranking_model.get_input_embeddings()) as leaf:
                values = self._logits(self.ranking_model, [encoded[i].row for i in batch]).float()
                scale = torch.tensor([weights[i] for i in batch], device=values.device)
                (gradient,) = torch.autograd.grad((values * scale).sum(), leaf())
            for row, i in enumerate(batch):
                shift = self.first_column(gradient.shape[1], len(encoded[i].ids))
                gradients[i] = gradient[row, [p + shift for p in encoded[i].positions]].float()
            return np.zeros(len(batch))

        self.budget.run([len(one.ids) for one in encoded], backward, memory_factor=GRADIENT_MEMORY)
        return [gradients[i] for i in range(len(encoded))]

    def attributions(self, pair: Pair, steps: int) -> tuple[Share, ...]:
        from miner.rewards.compute.attribution import attribute

        self._require_gradients()
        (found,) = self._spread([pair], lambda rm, pairs: [attribute(rm, pairs[0], n_steps=steps)])
        if found is None:
            return ()
        return tuple(Share(start, end, value) for (start, end), value in zip(found.spans, found.values, strict=True))

    def latents(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        from miner.rewards.compute.latents import latents

        return np.array(self._spread(pairs, latents), dtype=np.float64)

    def relax(self, requests: Sequence[RelaxRequest]) -> list[tuple[str, ...]]:
        from miner.rewards.compute.relaxation import relax

        self._require_gradients()
        return list(self._spread(requests, relax))

    def random_swaps(self, pair: Pair, n: int, rng: np.random.Generator) -> tuple[Swap, ...]:
        return EditableText.of(self.pipeline, self.vocabulary, [pair.prompt], pair.response).draw(n, rng)

    def words(self, n: int, rng: np.random.Generator) -> tuple[str, ...]:
        return self.vocabulary.draw_words(n, rng)

    def all_tokens(self) -> tuple[str, ...]:
        if self._all_tokens is None:
            self._all_tokens = lone_tokens(self.pipeline, self.vocabulary)
        return self._all_tokens


def _with_lengths(values: npt.NDArray[np.float64], rows: Sequence[Row]) -> list[_Scored]:
    return [_Scored(value, len(ids)) for value, (ids, _) in zip(values.tolist(), rows, strict=True)]


def input_embeddings(model: PreTrainedModel) -> torch.nn.Module | None:
    """The module that embeds the tokens; None where a model's own code names none."""
    try:
        found = model.get_input_embeddings()
    except (NotImplementedError, AttributeError):
        return None
    return found if isinstance(found, torch.nn.Module) else None
