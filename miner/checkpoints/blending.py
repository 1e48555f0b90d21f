"""Weights on the straight line between two models of one architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from miner.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def blend(model: PreTrainedModel, other: PreTrainedModel, share: float) -> None:
    """Moves ``model``'s weights, in place, to where ``share`` of them and the rest of ``other``'s is.

    Raises:
        ModelError: the two have other parameters.
    """
    import torch

    ours, theirs = dict(model.named_parameters()), dict(other.named_parameters())
    if {name: weight.shape for name, weight in ours.items()} != {name: weight.shape for name, weight in theirs.items()}:
        raise ModelError("the two models have other parameters: there is no line between their weights")
    with torch.no_grad():
        for name, weight in ours.items():
            weight.copy_(torch.lerp(theirs[name].to(weight.device, torch.float32), weight.float(), share))
