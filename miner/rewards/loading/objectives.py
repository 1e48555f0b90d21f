"""Several values of a reward head as one: by a weighting that was stated, never by one of ours."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miner.checkpoints.tensors import Tensor
from miner.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


LAST_LAYERS = (  # of the heads of transformers' sequence classifiers
    "score.weight", "classifier.weight", "classifier.out_proj.weight", "classification_head.out_proj.weight",
    "logits_proj.weight",
)  # fmt: skip


def with_labels_of_head(config: PreTrainedConfig, folder: Path, tensors: Mapping[str, Tensor]) -> PreTrainedConfig:
    """``config`` with as many labels as the stored head has outputs, where config.json says nothing of labels.

    transformers takes it to mean two then; cards of RMs with one have people pass ``num_labels=1`` by hand.
    """
    told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    head = next((tensors[name] for name in LAST_LAYERS if name in tensors), None)
    if head is not None and len(head.shape) == 2 and not {"num_labels", "id2label"} & set(told):
        config.num_labels = head.shape[0]
    return config


def labels(config: PreTrainedConfig, n: int) -> tuple[str, ...]:
    """The names of ``n`` objectives as far as the config gives them; else their indices."""
    named: Mapping[Any, str] = getattr(config, "id2label", None) or {}
    names = [str(named.get(i, named.get(str(i), i))) for i in range(n)]
    return tuple(str(i) if name == f"LABEL_{i}" else name for i, name in enumerate(names))


def weighting_of(
    objectives: Mapping[str, float] | Sequence[float] | None, n: int, names: Sequence[str], where: str
) -> tuple[float, ...] | None:
    """The weight of each of ``n`` values; None where there is one value and nothing to weigh.

    Raises:
        ModelError: several values and no weighting, or one that does not fit them.
    """
    listed = ", ".join(f"{i} {name}" if name != str(i) else name for i, name in enumerate(names))
    first = names[0] if re.fullmatch(r"[\w-]+", names[0], re.ASCII) else f'"{names[0]}"'
    example = f"--set 'rm.head.objectives={{{first}=1.0}}'"
    if objectives is None:
        if n == 1:
            return None
        raise ModelError(f"{where} has {n} labels; a scalar RM has one. State how to weigh {listed}. Try: {example}")
    if not isinstance(objectives, Mapping):
        if len(objectives) != n:
            raise ModelError(f"rm.head.objectives weighs {len(objectives)} values; {where} has {n}: {listed}")
        return tuple(map(float, objectives))
    weights = [0.0] * n
    for key, weight in objectives.items():
        if key not in names and not (key.isdigit() and int(key) < n):
            near = get_close_matches(key, names, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ModelError(f"{where} has no objective {key!r}{hint}. It has: {listed}. Try: {example}")
        weights[names.index(key) if key in names else int(key)] = float(weight)
    return tuple(weights)
