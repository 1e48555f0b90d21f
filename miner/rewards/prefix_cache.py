"""Key/value cache of the longest common prefix of a batch, for causal models whose cache can be shared that way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

WORTHWHILE_TOKENS = 8


def can_share_prefix(model: PreTrainedModel) -> bool:
    """Every layer attends to everything before it, and the backbone takes and returns an ordinary cache."""
    config = model.config.get_text_config()
    layers = getattr(config, "layer_types", None)
    if layers is not None:
        return all(kind == "full_attention" for kind in layers)
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    return window is None and bool(getattr(model, "_supports_default_dynamic_cache", lambda: True)())


def common_prefix(rows: Sequence[Sequence[int]], at_most: int) -> int:
    """Length of the longest prefix that all of ``rows`` share, at most ``at_most``."""
    first, last = min(rows), max(rows)  # in lexicographic order only the extremes matter
    length = 0
    while length < min(at_most, len(first), len(last)) and first[length] == last[length]:
        length += 1
    return length


def last_hidden(
    model: PreTrainedModel, rows: Sequence[Sequence[int]], pooled: Sequence[int], *, share: bool, left: bool, pad: int
) -> torch.Tensor:
    """Hidden state at ``pooled[i]`` of every row: shape (n_rows, hidden). Positions and mask are explicit."""
    import torch

    backbone = model.base_model
    prefix = common_prefix(rows, min(pooled)) if share and not left and len(rows) > 1 else 0
    cache = None
    if prefix >= WORTHWHILE_TOKENS:
        head = torch.tensor([list(rows[0][:prefix])], device=model.device)
        cache = backbone(input_ids=head, use_cache=True).past_key_values
        cache.batch_repeat_interleave(len(rows))
    else:
        prefix = 0
    ids, mask, positions = padded([row[prefix:] for row in rows], pad=pad, left=left, device=model.device)
    if prefix:
        mask = torch.cat([torch.ones(len(rows), prefix, dtype=mask.dtype, device=mask.device), mask], dim=1)
    out = backbone(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions + prefix,
        past_key_values=cache,
        use_cache=cache is not None,
    )
    offset = [ids.shape[1] - len(row) if left else -prefix for row in rows]
    at = torch.tensor([p + o for p, o in zip(pooled, offset, strict=True)], device=model.device)
    hidden: torch.Tensor = out.last_hidden_state
    return hidden[torch.arange(len(rows), device=model.device), at]


def padded(
    rows: Sequence[Sequence[int]], *, pad: int, left: bool, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """ids, mask and position ids, each (n_rows, longest)."""
    import torch

    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), pad)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        where = slice(width - len(row), None) if left else slice(0, len(row))
        ids[i, where] = torch.tensor(row, dtype=torch.long)
        mask[i, where] = 1
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    return ids.to(device), mask.to(device), positions.to(device)
