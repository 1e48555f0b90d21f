"""Whether an RM gives what plain transformers gives: tried at loading where no test of ours covers its architecture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from corpus.records import Message
from miner.checkpoints.devices import device_of
from miner.checkpoints.folders import first_line
from miner.errors import ModelError, NoRoomError, TooLongError
from miner.rewards.base import Pair
from miner.rewards.compute.prefix_cache import accepts
from miner.rewards.loading.covered import COVERED

if TYPE_CHECKING:
    from miner.rewards.adapters.transformer import TransformerRewardModel

SAME = 1e-3  # of the largest reward, at least of one
OWN_CODE = "transformers_modules"  # where transformers puts the code that a model brings
COARSER = 100  # than that are rewards in 16 bits
_ASKED = (Message(role="user", content="What does it do?"),)
_LONGER = (
    Message(role="user", content="Count to 12, please, and leave nothing out."), Message(role="assistant", content="1"),
    Message(role="user", content="No, all of the numbers!"),
)  # fmt: skip
TEXTS = (  # of different lengths, the last of them an encoder's single text
    Pair(_ASKED, "It opens a file and reads the text, line by line, until there is none left to read."),
    Pair(_ASKED, "It opens."),
    Pair(_LONGER, "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 12."),
    Pair(_LONGER, "No"),
    Pair(_ASKED, ""),
)

Floats = npt.NDArray[np.float64]


def require_alike(rm: TransformerRewardModel) -> None:
    """Refuse an RM of an uncovered architecture whose rewards depend on how a text is asked for.

    Five texts are scored by the model's own forward, one at a time, and by us alone, in a batch, and (where its tokens
    see only what is before them) padded left and right.

    Raises:
        ModelError: the rewards differ, or the model fails on one of the ways.
    """
    if rm.model.config.model_type in COVERED and not type(rm.model).__module__.startswith(OWN_CODE):
        return
    pairs = [pair for pair in TEXTS if _is_taken(rm, pair)]
    ways: dict[str, Any] = {"alone": lambda: [rm.alone(pair) for pair in pairs], "in a batch": lambda: rm.exact(pairs)}
    ways |= {name: lambda other=other: other.exact(pairs) for name, other in rm.other_ways().items()}
    way = "one at a time"
    try:
        plain = _plain(rm, pairs)
        for way, scored in ways.items():
            gap = np.abs(np.array([one.reward for one in scored()]) - plain).max(initial=0.0)
            if not gap <= SAME * max(1.0, np.abs(plain).max(initial=0.0)) * _rounding(rm):
                raise ModelError(f"{_named(rm)} gives {len(pairs)} short texts other rewards {way} than each alone in "
                                 f"plain transformers: off by {gap:.3g}. {ELSEWHERE}")  # fmt: skip
    except NoRoomError:
        raise
    except Exception as error:  # whatever an architecture that nobody tried raises
        if isinstance(error, ModelError) and ELSEWHERE in str(error):
            raise
        said = first_line(error).rstrip(".")
        raise ModelError(f"{_named(rm)} fails on short texts {way}: {said}. {ELSEWHERE}") from error


ELSEWHERE = (
    "rmminer has no test of this architecture; score it with its own code behind an address, and mine that: "
    "rmminer mine --rm http://HOST:PORT"
)


def _named(rm: TransformerRewardModel) -> str:
    return f"{rm.name}, a {type(rm.model).__name__},"


def _rounding(rm: TransformerRewardModel) -> float:
    return 1.0 if rm.reward_dtype == "float32" else COARSER


def _is_taken(rm: TransformerRewardModel, pair: Pair) -> bool:
    try:
        rm.pipeline.ids([pair])
    except (TooLongError, ModelError):  # too long, or of roles that the template refuses
        return False
    return True


def _plain(rm: TransformerRewardModel, pairs: Sequence[Pair]) -> Floats:
    """By the model's own forward, one text at a time: no padding, no positions, no cache of ours."""
    model: Any = rm.model
    takes_types = "token_type_ids" in rm.pipeline.tokenizer.model_input_names and accepts(model, "token_type_ids")
    found = []
    for ids, types in rm.pipeline.ids(pairs):
        inputs = {"input_ids": torch.tensor([ids])}
        if accepts(model, "attention_mask") or accepts(model, "kwargs"):
            inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        if takes_types and not rm.is_causal:
            inputs["token_type_ids"] = torch.tensor([types])
        with torch.inference_mode():
            output = model(**{name: value.to(device_of(model)) for name, value in inputs.items()})
        found.append(float(rm.readout.of_output(output, n_rows=1)[0]))
    return np.array(found)
