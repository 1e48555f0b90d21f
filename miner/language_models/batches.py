"""Rows of token ids in batches that a causal LM's logits have room for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LOGITS_PER_BATCH = {"cpu": 2**23, "mps": 2**26, "cuda": 2**28}  # entries: the vocabulary is what fills the memory


@dataclass(frozen=True, slots=True)
class Batch:
    """Some of the rows, by their ``places``: ``ids`` (n_rows, longest), padded on the right, where a causal LM does not
    look, and their ``lengths``."""

    places: list[int]
    ids: torch.Tensor
    lengths: list[int]


def batches(model: PreTrainedModel, rows: Sequence[Sequence[int]]) -> Iterator[Batch]:
    """All rows that are not empty, like lengths together, on the model's device."""
    room = LOGITS_PER_BATCH[model.device.type] // model.config.get_text_config().vocab_size
    places: list[int] = []
    for place in sorted((i for i, row in enumerate(rows) if row), key=lambda i: len(rows[i])):
        if places and (len(places) + 1) * len(rows[place]) > room:
            yield _padded(model, rows, places)
            places = []
        places.append(place)
    if places:
        yield _padded(model, rows, places)


def _padded(model: PreTrainedModel, rows: Sequence[Sequence[int]], places: list[int]) -> Batch:
    lengths = [len(rows[place]) for place in places]
    ids = torch.zeros(len(places), max(lengths), dtype=torch.long)
    for row, place in zip(ids, places, strict=True):
        row[: len(rows[place])] = torch.tensor(list(rows[place]))
    return Batch(places=places, ids=ids.to(model.device), lengths=lengths)
