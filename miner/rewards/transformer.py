"""Reward models that transformers loads as sequence classifiers with one label, encoder or causal."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from attacks.queries import Swap, SwapTable
from corpus.records import Conversation, Message
from miner.rewards import swaps as swap_search
from miner.rewards.base import Pair, RewardModel, SwapRequest
from miner.rewards.batching import TokenBudget
from miner.rewards.pipeline import Encoded, Pipeline
from miner.rewards.prefix_cache import can_share_prefix, last_hidden, padded
from miner.rewards.vocabulary import Vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedModel

OVERSAMPLING = 1.5  # replacements tried per replacement wanted: some do not survive
NEUTRAL_PROMPT: Conversation = (Message(role="user", content="Hello"),)


@dataclass(kw_only=True)
class TransformerRewardModel(RewardModel):
    """What encoder and causal models share. ``model`` confirms, ``ranking_model`` ranks (the same where one dtype does)."""

    name: str
    fingerprint: str
    model: PreTrainedModel
    ranking_model: PreTrainedModel
    pipeline: Pipeline
    vocabulary: Vocabulary
    budget: TokenBudget
    left_padding: bool = False
    pad_id: int = field(init=False)

    def __post_init__(self) -> None:
        self.pipeline_hash = self.pipeline.hash
        self.reward_dtype = str(self.model.dtype).removeprefix("torch.")
        self.ranking_dtype = str(self.ranking_model.dtype).removeprefix("torch.")
        body = sum(p.numel() for p in self.model.parameters()) - self.model.get_input_embeddings().weight.numel()
        self.flops_per_token = 2.0 * body
        pad = self.pipeline.tokenizer.pad_token_id
        self.pad_id = 0 if pad is None else int(pad)

    @abstractmethod
    def _logits(
        self, model: PreTrainedModel, rows: Sequence[tuple[tuple[int, ...], tuple[int, ...]]], *, share: bool
    ) -> torch.Tensor:
        """One reward per row of (ids, type ids): shape (n_rows,), in the model's dtype."""

    def reward(self, pair: Pair) -> float:
        rows = self.pipeline.ids([pair])
        with torch.inference_mode():
            return float(self._logits(self.model, rows, share=False)[0])

    def rewards(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        if not pairs:
            return np.empty(0)
        return self.rewards_of_rows(self.pipeline.ids(pairs))

    def rewards_of_rows(self, rows: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> npt.NDArray[np.float64]:
        """``rewards`` after tokenisation."""

        def forward(batch: list[int]) -> npt.NDArray[np.float64]:
            with torch.inference_mode():
                values = self._logits(self.ranking_model, [rows[i] for i in batch], share=True)
                return values.double().cpu().numpy()

        order = self._batch_order(rows)
        lengths = [len(rows[i][0]) for i in order]
        results = np.empty(len(rows))
        results[order] = self.budget.run(lengths, lambda batch: forward([order[i] for i in batch]))
        return results

    def logits_for_training(
        self, model: PreTrainedModel, rows: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]
    ) -> torch.Tensor:
        """Rewards of tokenised rows by ``model``, differentiable in its weights: shape (n_rows,)."""
        return self._logits(model, rows, share=False)

    def _batch_order(self, rows: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> list[int]:
        return list(range(len(rows)))

    def flops(self, n_tokens: int) -> float:
        """Forward FLOPs of one text of ``n_tokens`` without any cache."""
        config = self.model.config.get_text_config()
        return self.flops_per_token * n_tokens + 4.0 * config.num_hidden_layers * config.hidden_size * n_tokens**2

    def n_tokens(self, pair: Pair) -> int:
        return len(self.pipeline.ids([pair])[0][0])

    def swaps(self, requests: Sequence[SwapRequest]) -> list[SwapTable]:
        flat = [Pair(prompt, request.response) for request in requests for prompt in request.prompts]
        encoded = [self.pipeline.encode(pair) for pair in flat]
        weights = [weight for request in requests for weight in request.weights]
        gradients = self._gradients(encoded, weights)
        tables, at = [], 0
        for request in requests:
            n = len(request.prompts)
            tables.append(self._table(request, flat[at], encoded[at], gradients[at : at + n]))
            at += n
        return tables

    def _table(
        self, request: SwapRequest, pair: Pair, encoded: Encoded, gradients: Sequence[torch.Tensor]
    ) -> SwapTable:
        if not encoded.positions or len({len(g) for g in gradients}) != 1:
            return ()
        gradient = torch.stack(list(gradients)).sum(0)  # (n_positions, hidden)
        rows = self._embedding_rows()
        here = torch.tensor([encoded.ids[i] for i in encoded.positions], device=rows.device)
        gains = gradient @ rows.T - (gradient * rows[here]).sum(1, keepdim=True)
        wanted = int(request.k * OVERSAMPLING) + 4
        best = swap_search.best_by_gain(gains.cpu().numpy(), encoded, self.vocabulary.allowed, wanted)
        kept = swap_search.surviving(self.pipeline, pair, encoded, self.vocabulary, best)
        return swap_search.as_table(len(encoded.positions), kept, request.k)

    def _embedding_rows(self) -> torch.Tensor:
        """What the embedding module puts out for every token: (vocabulary, hidden), its own scaling included."""
        embedding = self.model.get_input_embeddings()
        with torch.inference_mode(False), torch.no_grad():
            return embedding(torch.arange(len(self.vocabulary.surfaces), device=self.model.device)).float()

    def _gradients(self, encoded: Sequence[Encoded], weights: Sequence[float]) -> list[torch.Tensor]:
        """Per text the gradient of weight · reward at its response's embeddings: (n_positions, hidden)."""
        gradients: list[torch.Tensor | None] = [None] * len(encoded)

        def backward(batch: list[int]) -> npt.NDArray[np.float64]:
            leaf: list[torch.Tensor] = []

            def capture(_module: object, _inputs: object, output: torch.Tensor) -> torch.Tensor:
                leaf.append(output.detach().requires_grad_())
                return leaf[-1]

            hook = self.model.get_input_embeddings().register_forward_hook(capture)
            try:
                values = self._logits(self.model, [(encoded[i].ids, encoded[i].type_ids) for i in batch], share=False)
            finally:
                hook.remove()
            scale = torch.tensor([weights[i] for i in batch], device=values.device)
            (gradient,) = torch.autograd.grad((values * scale).sum(), leaf[0])
            for row, i in enumerate(batch):
                shift = gradient.shape[1] - len(encoded[i].ids) if self.left_padding else 0
                gradients[i] = gradient[row, [p + shift for p in encoded[i].positions]].float()
            return np.zeros(len(batch))

        self.budget.run([4 * len(e.ids) for e in encoded], backward)
        return [g for g in gradients if g is not None]

    def random_swaps(self, pair: Pair, n: int, rng: np.random.Generator) -> tuple[Swap, ...]:
        return swap_search.draw(self.pipeline, pair, self.vocabulary, n, rng)

    def words(self, n: int, rng: np.random.Generator) -> tuple[str, ...]:
        picks = rng.choice(np.flatnonzero(self.vocabulary.whole_words), size=n)
        return tuple(self.vocabulary.surfaces[i].strip() for i in picks)

    def all_tokens(self) -> tuple[str, ...]:
        tokens = [int(i) for i in np.flatnonzero(self.vocabulary.allowed)]
        texts = [self.vocabulary.surfaces[i].strip(" ") for i in tokens]
        alone = [self.pipeline.encode(Pair(NEUTRAL_PROMPT, text)) for text in texts]
        return tuple(dict.fromkeys(t for t, e in zip(texts, alone, strict=True) if len(e.positions) == 1))


@dataclass(kw_only=True)
class EncoderRewardModel(TransformerRewardModel):
    """Bidirectional encoders: prompt and response as a text pair, pooled by the model's own head."""

    def _logits(
        self, model: PreTrainedModel, rows: Sequence[tuple[tuple[int, ...], tuple[int, ...]]], *, share: bool
    ) -> torch.Tensor:
        del share
        ids, mask, positions = padded(
            [ids for ids, _ in rows], pad=self.pad_id, left=self.left_padding, device=model.device
        )
        inputs = {"input_ids": ids, "attention_mask": mask}
        if "token_type_ids" in self.pipeline.tokenizer.model_input_names:
            types, _, _ = padded([types for _, types in rows], pad=0, left=self.left_padding, device=model.device)
            inputs["token_type_ids"] = types
        if self.left_padding:
            inputs["position_ids"] = positions
        logits: torch.Tensor = model(**inputs).logits[:, 0]
        return logits


@dataclass(kw_only=True)
class CausalRewardModel(TransformerRewardModel):
    """Decoders with a score head on the last token that is not padding by the model's own config."""

    share_prefixes: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.share_prefixes = self.share_prefixes and can_share_prefix(self.ranking_model)

    def _logits(
        self, model: PreTrainedModel, rows: Sequence[tuple[tuple[int, ...], tuple[int, ...]]], *, share: bool
    ) -> torch.Tensor:
        ids = [ids for ids, _ in rows]
        hidden = last_hidden(
            model,
            ids,
            [self._pooled(row) for row in ids],
            share=share and self.share_prefixes,
            left=self.left_padding,
            pad=self.pad_id,
        )
        logits: torch.Tensor = model.score(hidden)[:, 0]
        return logits

    def _pooled(self, ids: tuple[int, ...]) -> int:
        """Where transformers itself reads the reward: the last token that is not the config's padding token."""
        pad = self.model.config.get_text_config().pad_token_id
        return next((i for i in range(len(ids) - 1, -1, -1) if ids[i] != pad), len(ids) - 1)

    def _batch_order(self, rows: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> list[int]:
        if not self.share_prefixes:
            return super()._batch_order(rows)
        return sorted(range(len(rows)), key=lambda i: rows[i][0])  # neighbours share the longest prefixes


def ranking_copy(model: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    """``model`` itself, or a copy of it in ``dtype``."""
    return model if model.dtype == dtype else copy.deepcopy(model).to(dtype)
