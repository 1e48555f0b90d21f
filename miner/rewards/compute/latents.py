"""Where texts lie in an RM's last layer: the vectors that its reward is a linear function of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from miner.errors import CapabilityError
from miner.rewards.base import Pair
from miner.rewards.compute.forward import Forward

if TYPE_CHECKING:
    import torch


def latents(forward: Forward, pairs: Sequence[Pair]) -> list[npt.NDArray[np.float64]]:
    """What goes into the last linear map of the head that confirms, one vector a pair, from the ordinary pipeline.

    Of an encoder that is its pooled first column, of a decoder the last hidden state of the token that is read.

    Raises:
        CapabilityError: there is no such map. TooLongError: as ``RewardModel.reward``.
    """
    rows = forward.pipeline.ids(pairs)
    found: dict[int, npt.NDArray[np.float64]] = {}
    seen: list[torch.Tensor] = []
    hook = _last_map(forward).register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))

    def run(batch: list[int]) -> npt.NDArray[np.float64]:
        seen.clear()
        values = forward.values(forward.model, [rows[i] for i in batch])
        vectors = seen[-1].detach().double().cpu().numpy()  # (n_rows, hidden)
        found.update(zip(batch, vectors, strict=True))
        return values

    try:
        forward.budget.run([len(ids) for ids, _ in rows], run)
    finally:
        hook.remove()
    return [found[i] for i in range(len(rows))]


def _last_map(forward: Forward) -> torch.nn.Linear:
    import torch

    weighting = forward.readout.weighting
    outputs = 1 if weighting is None else len(weighting)
    maps = [one for one in forward.model.modules() if isinstance(one, torch.nn.Linear) and one.out_features == outputs]
    if not maps:
        raise CapabilityError(f"{forward.name} has no linear map onto one reward, so its latents cannot be read")
    return maps[-1]
