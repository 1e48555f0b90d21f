"""Models that bring their own code: whatever its forward returns is the reward, once it is said where in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from miner.checkpoints.devices import device_of
from miner.checkpoints.folders import first_line
from miner.errors import ModelError
from miner.rewards.adapters.forwarded import ForwardedRewardModel
from miner.rewards.base import Pair
from miner.rewards.compute.prefix_cache import accepts, padded
from miner.rewards.text.pipeline import Row
from miner.rewards.text.swaps import NEUTRAL_PROMPT

if TYPE_CHECKING:
    import torch

FAULTS = (RuntimeError, TypeError, ValueError, AttributeError, KeyError, IndexError, ImportError)


@dataclass(kw_only=True, eq=False)
class OwnCodeRewardModel(ForwardedRewardModel):
    """Asked through its own forward, which may do without a mask, and tried out as it is opened."""

    is_causal: ClassVar[bool] = False  # nobody knows

    def __post_init__(self) -> None:
        super().__post_init__()
        self._try_out()

    def _try_out(self) -> None:
        from transformers import __version__

        try:
            self.reward(Pair(NEUTRAL_PROMPT, "Hello."))
        except FAULTS as error:
            raise ModelError(
                f"the model's own code fails on a short text: {type(error).__name__}: {first_line(error)}. It may be "
                f"written for another transformers than this {__version__}, or for another chat template"
            ) from error

    def head_identity(self) -> list[object]:
        return [type(self.model).__name__, "own code", *self.readout.identity()]

    def _asked(self, model: Any, rows: Sequence[Row]) -> torch.Tensor:
        ids, mask, _ = padded([ids for ids, _ in rows], pad=self.pad_id, left=False, device=device_of(model))
        masked = {"attention_mask": mask} if accepts(model, "attention_mask") or accepts(model, "kwargs") else {}
        return self.readout.of_output(model(input_ids=ids, **masked), n_rows=len(rows))

    def may_lack_gradients(self) -> bool:
        return True
