"""Rewards of a batch whose rows share beginnings: each beginning goes through the causal model once.

Rows come in groups (one per prompt). A group's head is the longest prefix of ids that its rows in the batch have in
common, the position that the reward is read at left out. Heads form one batch, padded on the left so that they end
where the tails begin; their keys and values are then dealt out to the rows.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from miner.checkpoints.devices import computes_on_several, device_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

WORTHWHILE = 0.9  # share when the padded tokens computed fall below this part of those without sharing
BUCKET_TOKENS = 8  # rows whose edits lie this close go into one batch

Ids = tuple[int, ...]


def can_share(model: PreTrainedModel) -> bool:
    """Every layer attends, over all that came before or a window of it, and the backbone takes a cache."""
    kinds = getattr(model.config.get_text_config(), "layer_types", None) or ["full_attention"]
    plain = set(kinds) <= {"full_attention", "sliding_attention"} and not getattr(model, "_is_stateful", False)
    return plain and cache_keyword(model.base_model) is not None and not computes_on_several(model)


def cache_keyword(backbone: torch.nn.Module) -> str | None:
    """What the backbone's forward calls its cache: it was renamed within transformers 5."""
    return next((name for name in ("cache", "past_key_values") if accepts(backbone, name)), None)


def accepts(module: torch.nn.Module, argument: str) -> bool:
    return argument in inspect.signature(module.forward).parameters


def common_prefix(rows: Sequence[Ids], at_most: int) -> int:
    """Length of the longest prefix that all of ``rows`` share, at most ``at_most``."""
    first, last = min(rows), max(rows)  # in lexicographic order only the extremes matter
    length = 0
    while length < min(at_most, len(first), len(last)) and first[length] == last[length]:
        length += 1
    return length


def sharing_order(rows: Sequence[Ids], groups: Sequence[Hashable]) -> list[int]:
    """Groups together, longest first; within one, rows that leave its middle row at about the same place, by length."""
    members: dict[Hashable, list[int]] = defaultdict(list)
    for i, group in enumerate(groups):
        members[group].append(i)
    order: list[int] = []
    for of_group in sorted(members.values(), key=lambda m: -max(len(rows[i]) for i in m)):
        middle = sorted(rows[i] for i in of_group)[len(of_group) // 2]  # single edits of one text surround that text
        leaves = {i: common_prefix([rows[i], middle], len(middle)) // BUCKET_TOKENS for i in of_group}
        order += sorted(of_group, key=lambda i: (leaves[i], -len(rows[i])))
    return order


def shared_lengths(rows: Sequence[Ids], groups: Sequence[Hashable]) -> dict[Hashable, int]:
    """Per group of more than one row the length of the longest prefix that all share, never a whole row."""
    members: dict[Hashable, list[int]] = defaultdict(list)
    for i, group in enumerate(groups):
        members[group].append(i)
    return {
        group: common_prefix([rows[i] for i in of_group], min(len(rows[i]) for i in of_group) - 1)
        for group, of_group in members.items()
        if len(of_group) > 1
    }


def head_lengths(rows: Sequence[Ids], groups: Sequence[Hashable]) -> list[int]:
    """Per row the length of its group's head, never the whole row; all 0 where sharing would not pay."""
    shared = shared_lengths(rows, groups)
    longest = max(shared.values(), default=0)
    heads = [shared.get(group, min(longest, len(row) - 1)) for row, group in zip(rows, groups, strict=True)]
    tails = max(len(row) - head for row, head in zip(rows, heads, strict=True))
    computed = len(set(groups)) * max(heads) + len(rows) * tails
    return heads if computed < WORTHWHILE * len(rows) * max(map(len, rows)) else [0] * len(rows)


def last_hidden(
    model: PreTrainedModel, rows: Sequence[Ids], pooled: Sequence[int], *, left: bool, pad: int
) -> torch.Tensor:
    """Hidden state at ``pooled[i]`` of every row: shape (n_rows, hidden). Positions and mask are explicit."""
    ids, mask, positions = padded(rows, pad=pad, left=left, device=device_of(model))
    backbone = model.base_model
    out = backbone(input_ids=ids, attention_mask=mask, use_cache=False, **_positions(backbone, positions))
    columns = [p + (ids.shape[1] - len(row) if left else 0) for p, row in zip(pooled, rows, strict=True)]
    return _at(out.last_hidden_state, columns)


def last_hidden_shared(
    model: PreTrainedModel, rows: Sequence[Ids], heads: Sequence[int], groups: Sequence[Hashable], *, pad: int
) -> torch.Tensor:
    """Hidden state at the end of every row, ``heads[i]`` of its ids computed once per group: (n_rows, hidden)."""
    import torch
    from transformers import DynamicCache

    backbone = model.base_model
    number = {group: n for n, group in enumerate(dict.fromkeys(groups))}
    head_of = {number[group]: row[:head] for row, head, group in zip(rows, heads, groups, strict=True)}
    ids, head_mask, positions = padded(
        [head_of[n] for n in range(len(number))], pad=pad, left=True, device=device_of(model)
    )
    cache = DynamicCache(config=model.config)
    keyword = {str(cache_keyword(backbone)): cache}
    where = _positions(backbone, positions)
    backbone(input_ids=ids, attention_mask=head_mask, use_cache=True, **keyword, **where)
    dealt = torch.tensor([number[group] for group in groups], device=ids.device)
    cache.batch_select_indices(dealt)

    tails = [row[head:] for row, head in zip(rows, heads, strict=True)]
    ids, mask, positions = padded(tails, pad=pad, left=False, device=device_of(model))
    where = _positions(backbone, positions + torch.tensor(heads, device=ids.device)[:, None])
    mask = torch.cat([head_mask[dealt], mask], dim=1)  # (n_rows, longest head + longest tail)
    out = backbone(input_ids=ids, attention_mask=mask, use_cache=True, **keyword, **where)
    return _at(out.last_hidden_state, [len(tail) - 1 for tail in tails])


def _positions(backbone: torch.nn.Module, positions: torch.Tensor) -> dict[str, torch.Tensor]:
    """Position ids for a backbone that takes them; those with ALiBi read the mask."""
    return {"position_ids": positions} if accepts(backbone, "position_ids") else {}


def _at(hidden: torch.Tensor, columns: Sequence[int]) -> torch.Tensor:
    import torch

    rows = torch.arange(len(columns), device=hidden.device)
    return hidden[rows, torch.tensor(columns, device=hidden.device)]


def padded(
    rows: Sequence[Ids], *, pad: int, left: bool, device: torch.device
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
