"""PairRM, LLM-Blender's pairwise ranker (Jiang et al. 2023, arXiv:2306.02561), from its published weights.

A DeBERTa reads source and both candidates at once; one head scores each candidate from the hidden states of the
source's and the candidate's marker token. The logit of a comparison is the difference of the two scores.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import DebertaV2Model, DebertaV2PreTrainedModel

from miner.errors import ModelError
from miner.rewards.adapters.transformer import TransformerRewardModel
from miner.rewards.compute.prefix_cache import padded
from miner.rewards.text.pipeline import Row

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

PAIRRM_TOKENS = 2048  # that its authors give it: 1224 of source, 412 of each candidate
MARKERS = ("source_prefix_id", "cand1_prefix_id", "cand2_prefix_id")
PROBES = ("What is it?", " two\nlines ", "a. B")


class PairRanker(DebertaV2PreTrainedModel):
    """The published module names, so that its weights load as they are."""

    base_model_prefix = "pretrained_model"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.pretrained_model = DebertaV2Model(config)
        self.head_layer = torch.nn.Sequential(
            torch.nn.Dropout(getattr(config, "drop_out", 0.0)),
            torch.nn.Linear(2 * config.hidden_size, config.hidden_size),
            torch.nn.Tanh(),
            torch.nn.Dropout(getattr(config, "drop_out", 0.0)),
            torch.nn.Linear(config.hidden_size, getattr(config, "n_tasks", 1)),
        )
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, markers: torch.Tensor) -> torch.Tensor:
        """Logits that the first candidate is better, (n_rows,); ``markers`` has the columns of the three markers."""
        hidden = self.pretrained_model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        at = hidden.gather(1, markers[:, :, None].expand(-1, -1, hidden.shape[2]))  # (n_rows, 3, hidden)
        at = at.to(self.head_layer[1].weight.dtype)
        source, first, second = at.unbind(1)
        scores = self.head_layer(torch.cat([source, first], -1)) - self.head_layer(torch.cat([source, second], -1))
        logits: torch.Tensor = scores.mean(-1)
        return logits


@dataclass(kw_only=True, eq=False)
class PairRankerRewardModel(TransformerRewardModel):
    """The log-odds that the first candidate is better."""

    is_trainable = False

    def head_identity(self) -> list[object]:
        return ["PairRM", *(getattr(self.model.config, name) for name in MARKERS)]

    def logits(
        self, model: PreTrainedModel, rows: Sequence[Row], groups: Sequence[Hashable] | None = None
    ) -> torch.Tensor:
        del groups
        ids, mask, _ = padded([ids for ids, _ in rows], pad=self.pad_id, left=False, device=model.device)
        markers = torch.tensor([self._markers(ids) for ids, _ in rows], device=ids.device)
        logits: torch.Tensor = model(ids, mask, markers)
        return logits

    def _markers(self, ids: tuple[int, ...]) -> list[int]:
        """Columns of the markers: the first of the source and the first candidate, the last of the second."""
        source, first, second = (getattr(self.model.config, name) for name in MARKERS)
        return [ids.index(source), ids.index(first), len(ids) - 1 - ids[::-1].index(second)]


def pairrm_template(tokenizer: PreTrainedTokenizerFast, config: Any) -> str:
    """Source and candidates, each in its own frame of special tokens, as one text.

    Raises:
        ModelError: the folder's config names no markers, its tokenizer has other tokens there, or splits the one text
            otherwise than its parts.
    """
    if getattr(config, "position_biased_input", True):
        raise ModelError("layout 'pairrm' is for DeBERTas with relative positions alone. Is this LLM-Blender's PairRM?")
    ids = [int(getattr(config, name, -1)) for name in MARKERS]
    if min(ids) < 0:
        raise ModelError(f"layout 'pairrm' needs {', '.join(MARKERS)} in config.json. Is this LLM-Blender's PairRM?")
    source, first, second = (str(token) for token in tokenizer.convert_ids_to_tokens(ids))
    start, end = tokenizer.cls_token, tokenizer.sep_token
    parts = [f"{source}{PROBES[0]}", f"{first}{PROBES[1]}", f"{second}{PROBES[2]}"]
    backend = tokenizer.backend_tokenizer
    apart = [token for part in parts for token in backend.encode(part).ids]
    joined = "".join(f"{start}{part}{end}" for part in parts)
    if apart != backend.encode(joined, add_special_tokens=False).ids or apart.count(ids[0]) != 1:
        raise ModelError(
            f"the tokenizer does not keep {source}, {first} and {second} apart as PairRM's does. "
            "Give the tokenizer that was published with the model"
        )
    return f"{start}{source}{{prompt}}{end}{start}{first}{{a}}{end}{start}{second}{{b}}{end}"
