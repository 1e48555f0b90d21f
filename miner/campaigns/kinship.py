"""Whether the LM that judges is a relative of the RM that is judged: it would find likely what the RM likes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from miner.language_models import LanguageModel, ReferenceLm
from miner.rewards.base import RewardModel
from miner.rewards.compute.forward import Forward, input_embeddings

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

COMPARED = 2048  # tokens that both have
RELATED = 0.5  # mean cosine of their embeddings; unrelated ones are near 0, a model and its fine-tuned child near 1


def kinship(rm: RewardModel, lm: ReferenceLm) -> str | None:
    """Why the two look like relatives; None where they do not, or where one's weights cannot be looked at.

    Compared are the embeddings of tokens that both know, and, where these have different sizes, tokenizer and
    architecture: models of one family are trained on much the same text.
    """
    if not isinstance(rm, Forward) or not isinstance(lm, LanguageModel):
        return None
    ours, theirs = rm.pipeline.tokenizer.get_vocab(), lm.tokenizer.get_vocab()
    shared = sorted(ours.keys() & theirs.keys())
    tokens = shared[:: max(1, len(shared) // COMPARED)]
    if not tokens:
        return None
    one = _rows(rm.model, [ours[token] for token in tokens])
    other = _rows(lm.model, [theirs[token] for token in tokens])
    if one is not None and other is not None and one.shape == other.shape:
        import torch

        cosine = float(torch.nn.functional.cosine_similarity(one, other).mean())
        if cosine > RELATED:
            return f"their token embeddings point the same way (mean cosine {cosine:.2f} over {len(tokens)} tokens)"
        return None
    same_kind = rm.model.config.model_type == lm.model.config.model_type
    return f"both are {rm.model.config.model_type} models with one tokenizer" if same_kind and ours == theirs else None


def _rows(model: PreTrainedModel, ids: list[int]) -> torch.Tensor | None:
    """The embeddings of the tokens, fp32: (n_tokens, hidden); None where they cannot be had."""
    import torch

    table = input_embeddings(model)
    weight = getattr(table, "weight", None)
    if not isinstance(weight, torch.Tensor) or weight.is_meta or max(ids) >= len(weight):
        return None
    return weight.detach()[torch.tensor(ids, device=weight.device)].float().cpu()
