"""Reward heads that transformers has no class for, built from the tensors that a checkpoint holds under their name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch

from miner.checkpoints.tensors import Tensor, files_beside, natural, weight_files
from miner.errors import ModelError

ACTIVATIONS: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": torch.nn.functional.relu,
    "gelu": torch.nn.functional.gelu,
    "silu": torch.nn.functional.silu,
    "selu": torch.nn.functional.selu,
    "tanh": torch.tanh,
}
MAX_OBJECTIVES = 64  # a head's last layer has few outputs; a layer with more is something else
LISTED = 6


class Head(torch.nn.Module):
    """Linear layers with one activation between them, each under the name that it has in the checkpoint."""

    def __init__(self, layers: Mapping[str, torch.nn.Linear], activation: str | None) -> None:
        super().__init__()
        self.names = tuple(layers)
        self.activation = activation
        for name, layer in layers.items():
            install(self, name, layer)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        for name in self.names:
            hidden = self.get_submodule(name)(hidden)
            if name != self.names[-1] and self.activation is not None:
                hidden = ACTIVATIONS[self.activation](hidden)
        return hidden


@dataclass(frozen=True, slots=True)
class HeadPlan:
    """A head as the checkpoint describes it: the names of its linear layers below ``prefix``, and their shapes."""

    prefix: str
    layers: tuple[str, ...]
    shapes: tuple[tuple[int, int], ...]  # (outputs, inputs) of each
    biases: tuple[bool, ...]
    activation: str | None

    @property
    def n_outputs(self) -> int:
        return self.shapes[-1][0]

    def build(self, folder: Path) -> torch.nn.Module:
        """The head with its trained weights, in their stored dtype."""
        weights = read_tensors(folder, self.prefix + ".")
        layers = {}
        for name, (outputs, inputs), bias in zip(self.layers, self.shapes, self.biases, strict=True):
            at = ".".join(part for part in (self.prefix, name) if part)
            layer = torch.nn.Linear(inputs, outputs, bias=bias, dtype=weights[f"{at}.weight"].dtype)
            with torch.no_grad():
                layer.weight.copy_(weights[f"{at}.weight"])
                if bias:
                    layer.bias.copy_(weights[f"{at}.bias"])
            layers[name] = layer
        return layers[""] if self.layers == ("",) else Head(layers, self.activation)


def plan_head(
    tensors: Mapping[str, Tensor], prefix: str, *, hidden: int, activation: str | None, folder: Path
) -> HeadPlan:
    """The head under ``prefix`` as a chain of linear layers, the first of which takes ``hidden`` values.

    Raises:
        ModelError: no such tensors, or they are no such chain. Names the heads that the checkpoint does hold.
    """
    mine = {name.removeprefix(prefix + "."): t for name, t in tensors.items() if name.startswith(prefix + ".")}
    if not mine:
        raise ModelError(f"{folder} holds no tensor under rm.head.weights={prefix!r}. {_candidates(tensors, hidden)}")
    names = sorted({name.rpartition(".")[0] for name in mine}, key=natural)
    shapes = [mine.get(f"{name}.weight".lstrip("."), Tensor((), "")).shape for name in names]
    ends = {name.rpartition(".")[2] for name in mine}
    chained = all(len(shape) == 2 for shape in shapes) and ends <= {"weight", "bias"}
    if not (
        chained
        and shapes[0][1] == hidden
        and all(one[0] == other[1] for one, other in pairwise(shapes))
        and shapes[-1][0] <= MAX_OBJECTIVES
    ):
        held = _listed([f"{prefix}.{name} {tensor}" for name, tensor in mine.items()])
        raise ModelError(
            f"the head {prefix!r} does not fit: it holds {held}; expected linear layers from {hidden} values to a few. "
            f"{_candidates({k: v for k, v in tensors.items() if not k.startswith(prefix + '.')}, hidden)}"
        )
    if len(names) > 1 and activation is None:
        raise ModelError(
            f"the head {prefix!r} has {len(names)} layers ({_listed(['×'.join(map(str, s)) for s in shapes])}); name "
            f"what stands between them: --set rm.head.activation={'|'.join(ACTIVATIONS)}"
        )
    return HeadPlan(
        prefix=prefix,
        layers=tuple(names),
        shapes=tuple((shape[0], shape[1]) for shape in shapes),
        biases=tuple(f"{name}.bias".lstrip(".") in mine for name in names),
        activation=activation if len(names) > 1 else None,
    )


def candidates(tensors: Mapping[str, Tensor], hidden: int) -> dict[str, Tensor]:
    """Tensors that look like the last layer of a reward head, by the prefix to give for them."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        prefix, _, end = name.rpartition(".")
        if end != "weight" or len(tensor.shape) != 2 or not prefix or "embed" in prefix or _is_of_a_block(prefix):
            continue
        outputs, inputs = tensor.shape
        parent = prefix.rpartition(".")[0]
        siblings = [
            other.shape
            for key, other in tensors.items()
            if parent and key != name and key.startswith(f"{parent}.") and key.count(".") == name.count(".")
        ]
        fed = (inputs, hidden) in siblings  # by a layer before it
        feeds = any(len(shape) == 2 and shape[1] == outputs for shape in siblings)
        if outputs <= min(MAX_OBJECTIVES, hidden - 1) and (fed or inputs == hidden) and not feeds:
            found[parent if fed else prefix] = tensor
    return found


def _is_of_a_block(prefix: str) -> bool:
    """Whether a name lies in a numbered block of the backbone ("layers.3.mlp.gate"), where routers look like heads."""
    parts = prefix.split(".")
    return any(part.isdigit() and n + 1 < len(parts) for n, part in enumerate(parts))


def suggestion(tensors: Mapping[str, Tensor], hidden: int) -> str | None:
    """What to set for the likeliest head of a checkpoint; None where nothing looks like one."""
    found = candidates(tensors, hidden)
    if not found:
        return None
    prefix, tensor = next(iter(found.items()))
    return f"{prefix} ({tensor}) looks like a reward head. Try: --set rm.head.weights={prefix}"


def _candidates(tensors: Mapping[str, Tensor], hidden: int) -> str:
    found = candidates(tensors, hidden)
    if not found:
        return "Nothing in the checkpoint looks like a reward head"
    held, first = _listed([f"{prefix} ({tensor})" for prefix, tensor in found.items()]), next(iter(found))
    return f"What looks like one: {held}. Try: --set rm.head.weights={first}"


def read_tensors(folder: Path, prefix: str) -> dict[str, torch.Tensor]:
    """The tensors of the checkpoint, and of files beside it, whose names begin with ``prefix``."""
    from safetensors import safe_open

    found: dict[str, torch.Tensor] = {}
    for file in (*files_beside(folder), *weight_files(folder)):
        with safe_open(file, framework="pt") as stored:
            found |= {name: stored.get_tensor(name) for name in stored.keys() if name.startswith(prefix)}  # noqa: SIM118
    return found


def install(root: torch.nn.Module, path: str, module: torch.nn.Module) -> None:
    """Put ``module`` at a dotted path below ``root``, with empty modules on the way."""
    *parents, name = path.split(".")
    for parent in parents:
        if parent not in root._modules:
            root.add_module(parent, torch.nn.Module())
        root = root.get_submodule(parent)
    root.add_module(name, module)


def _listed(items: Sequence[str]) -> str:
    return ", ".join(items[:LISTED]) + (f" and {len(items) - LISTED} more" if len(items) > LISTED else "")
