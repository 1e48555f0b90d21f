"""What training takes of a reward model, whatever its kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from miner.errors import CapabilityError
from miner.rewards.base import Pair, RewardModel

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from miner.rewards.compute.readout import Readout
    from miner.rewards.text.pipeline import Pipeline, Row

EXPORT = "Its findings as training pairs: rmminer corpus export RUN FOLDER"


@runtime_checkable
class Trainable(Protocol):
    """The tokens of texts, their rewards as they are, and those that a copy of ``model`` gives with a graph."""

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> PreTrainedModel: ...

    @property
    def pipeline(self) -> Pipeline: ...

    @property
    def readout(self) -> Readout: ...

    def exact_rewards(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        """As ``RewardModel.exact_rewards``."""
        ...

    def logits_for_training(self, model: PreTrainedModel, rows: Sequence[Row]) -> torch.Tensor:
        """As ``Forward.logits_for_training``."""
        ...


def trainable(rm: RewardModel) -> Trainable:
    """``rm`` as one that can be retrained.

    Raises:
        CapabilityError: it cannot.
    """
    if not (rm.is_trainable and isinstance(rm, Trainable)):
        raise CapabilityError(f"{rm.name} cannot be retrained here. {EXPORT}")
    return rm
