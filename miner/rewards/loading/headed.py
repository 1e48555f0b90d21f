"""A backbone and a reward head of ours as one model that transformers saves, trains and loads in its own layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from miner.rewards.compute.prefix_cache import accepts
from miner.rewards.compute.readout import ReadAt
from miner.rewards.loading.heads import install

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class ModelWithHead:
    """Mixed into the backbone's own family of models, so that every tensor keeps the name it has in the checkpoint."""

    base_model: Any

    def __init__(self, backbone: PreTrainedModel, head: torch.nn.Module, *, name: str, read_at: ReadAt) -> None:
        family: Any = super()
        family.__init__(backbone.config)
        model: Any = self
        setattr(model, model.base_model_prefix, backbone)
        install(model, name, head)
        model.head_name, model.where = name, read_at
        for module in model.modules():
            module._is_hf_initialized = True  # all weights are trained ones: post_init is to draw none anew
        model.post_init()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> Any:
        """Logits (n_rows, n_objectives) of padded rows, padding on either side."""
        import torch
        from transformers.modeling_outputs import SequenceClassifierOutput

        model: Any = self
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        types = {"token_type_ids": token_type_ids} if accepts(model.base_model, "token_type_ids") else {}
        hidden = model.base_model(input_ids=input_ids, attention_mask=mask, **types).last_hidden_state
        pooled = model.where.pooled(hidden, input_ids, mask)
        return SequenceClassifierOutput(logits=model.get_submodule(model.head_name)(pooled))


def headed(backbone: PreTrainedModel, head: torch.nn.Module, *, name: str, read_at: ReadAt) -> PreTrainedModel:
    """``backbone`` with ``head`` at the dotted path ``name``, which reads at ``read_at``."""
    from transformers import PreTrainedModel

    family = [kind for kind in type(backbone).__mro__ if issubclass(kind, PreTrainedModel)][-2]  # its own base class
    kind = type(f"{type(backbone).__name__}HeadFromCheckpoint", (ModelWithHead, family), {})
    model: PreTrainedModel = kind(backbone, head, name=name, read_at=read_at)
    return model
