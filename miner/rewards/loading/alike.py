"""Whether an RM gives what plain transformers gives: tried at loading where no test of ours covers its architecture.

Of every kind the same number can be had from the model's own forward of one text: a classifier's and a pairwise
classifier's logits; of an LM that is asked, or a T5, the logits behind the text; of a process RM those at its tags. Two
kinds are special. What a judge writes jumps where two tokens are about equally likely, so what is compared are the
logits that its first token is chosen by. PairRM is no architecture of transformers: its head is ours, over the one
DeBERTa that it is published with, and a test covers it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from corpus.records import Message
from miner.checkpoints.devices import device_of
from miner.checkpoints.folders import first_line
from miner.errors import ModelError, NoRoomError, TooLongError
from miner.rewards.base import Pair
from miner.rewards.compute.prefix_cache import Ids, accepts
from miner.rewards.text.pipeline import Pipeline, Row

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from miner.rewards.adapters.transformer import TransformerRewardModel
    from miner.rewards.compute.forward import Forward

SAME = 1e-3  # of the largest reward, at least of one
OWN_CODE = "transformers_modules"  # where transformers puts the code that a model brings
COARSER = 100  # than that are rewards in 16 bits
ALONE = "one at a time"
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
Read = Callable[
    [Any, Ids], torch.Tensor | None
]  # a model's output for one text, and its ids → the reward, if it has one
Way = Callable[[Sequence[Pair]], Floats]


@dataclass(frozen=True, slots=True)
class PlainRewards:
    """The rewards of ``pairs`` by a model's own forward, one text at a time: no padding, positions or cache of ours."""

    pairs: tuple[Pair, ...]
    values: Floats  # (n_pairs,), or whatever is compared of each


def plain_rewards(
    model: PreTrainedModel,
    pipeline: Pipeline,
    read: Read,
    *,
    covered: Set[str],
    texts: Sequence[Pair] = TEXTS,
    with_types: bool = False,
    also: Mapping[str, torch.Tensor] | None = None,
) -> PlainRewards | None:
    """What ``read`` finds in the model's output for those of five texts that it takes; None where its architecture is
    one of ``covered``.

    To be asked before anything of the model is replaced. ``with_types``: with the token types that the tokenizer gives,
    where both know them. ``also`` is given to the model with every text.

    Raises:
        ModelError: the model fails on them.
    """
    if model.config.model_type in covered and not type(model).__module__.startswith(OWN_CODE):
        return None
    pairs = tuple(pair for pair in texts if _is_taken(pipeline, pair))
    types = with_types and "token_type_ids" in pipeline.tokenizer.model_input_names and accepts(model, "token_type_ids")
    with _failing_in_one_line(model, ALONE), torch.inference_mode():
        found = [read(_output(model, row, types, also or {}), row[0]) for row in pipeline.ids(pairs)]
    values = {pair: one.float().cpu().numpy() for pair, one in zip(pairs, found, strict=True) if one is not None}
    return PlainRewards(tuple(values), np.array(list(values.values()), dtype=np.float64))


def _output(model: Any, row: Row, types: bool, also: Mapping[str, torch.Tensor]) -> Any:
    inputs = {"input_ids": torch.tensor([row[0]]), **also}
    if accepts(model, "attention_mask") or accepts(model, "kwargs"):
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    if types:
        inputs["token_type_ids"] = torch.tensor([row[1]])
    return model(**{name: value.to(device_of(model)) for name, value in inputs.items()})


def require_alike(
    rm: TransformerRewardModel, plain: PlainRewards | None, ways: Mapping[str, Way] | None = None
) -> None:
    """Refuse an RM whose rewards depend on how a text is asked for: ``plain`` is what they should be.

    The texts are scored alone, in a batch, and (where tokens see only what is before them) padded left and right; or
    in the ``ways`` given.

    Raises:
        ModelError: the rewards differ, or the model fails on one of the ways.
    """
    if plain is None:
        return
    if not plain.pairs:
        raise ModelError(
            f"{_named(rm.model)} takes none of five short texts: there is nothing to compare with plain transformers. "
            f"{ELSEWHERE}"
        )
    if not np.isfinite(plain.values).all():
        raise ModelError(
            f"{_named(rm.model)} gives short texts NaN or infinity, in plain transformers, too. Try other weights, or "
            "the library's own code on the device that it was written for"
        )
    allowed = SAME * max(1.0, np.abs(plain.values).max(initial=0.0))
    allowed *= 1 if rm.reward_dtype == "float32" else COARSER
    for way, scored in (ways or _ways(rm)).items():
        with _failing_in_one_line(rm.model, way):
            gap = np.abs(scored(plain.pairs) - plain.values).max(initial=0.0)
        if not gap <= allowed:
            raise ModelError(
                f"{_named(rm.model)} gives {len(plain.pairs)} short texts other rewards {way} than each alone in plain "
                f"transformers: off by {gap:.3g}. {ELSEWHERE}"
            )


def _ways(rm: TransformerRewardModel) -> dict[str, Way]:
    ways: dict[str, Way] = {
        "alone": lambda pairs: np.array([rm.alone(pair).reward for pair in pairs]),
        "in a batch": partial(_exact, rm),
    }
    return ways | {name: partial(_exact, other) for name, other in rm.other_ways().items()}


def _exact(forward: Forward, pairs: Sequence[Pair]) -> Floats:
    return np.array([one.reward for one in forward.exact(pairs)])


ELSEWHERE = (
    "rmminer has no test of this architecture; score it with its own code behind an address, and mine that: "
    "rmminer mine --rm http://HOST:PORT"
)


@contextmanager
def _failing_in_one_line(model: PreTrainedModel, way: str) -> Iterator[None]:
    try:
        yield
    except NoRoomError:
        raise
    except Exception as error:  # whatever an architecture that nobody tried raises
        said = first_line(error).rstrip(".")
        raise ModelError(f"{_named(model)} fails on short texts {way}: {said}. {ELSEWHERE}") from error


def _named(model: PreTrainedModel) -> str:
    return f"{Path(str(model.name_or_path)).name}, a {type(model).__name__},"


def _is_taken(pipeline: Pipeline, pair: Pair) -> bool:
    try:
        pipeline.ids([pair])
    except (TooLongError, ModelError):  # too long, or of roles that the template refuses
        return False
    return True
