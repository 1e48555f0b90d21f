"""Where in a model's output the reward is, and how one number is made of what stands there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from miner.errors import ModelError

if TYPE_CHECKING:
    import torch

LAST = "last"
FIRST = "first"
MEAN = "mean"

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReadAt:
    """The place in a text at which a head is given its hidden state: ``last``, ``first``, ``mean``, or the last
    ``last_token_id:N``."""

    place: str = LAST
    token: int | None = None

    @classmethod
    def parse(cls, text: str) -> ReadAt:
        place, _, token = text.partition(":")
        return cls(place, int(token) if token else None)

    def __str__(self) -> str:
        return self.place if self.token is None else f"{self.place}:{self.token}"

    @property
    def is_one_token(self) -> bool:
        return self.place != MEAN

    def position(self, ids: Sequence[int]) -> int:
        """Index of the token read in a text without padding.

        Raises:
            ModelError: the text does not hold the token.
        """
        if self.place == FIRST:
            return 0
        if self.token is None:
            return len(ids) - 1
        at = next((i for i in range(len(ids) - 1, -1, -1) if ids[i] == self.token), None)
        if at is None:
            raise ModelError(
                f"a text does not hold token {self.token}, at which rm.head.read_at reads the reward. "
                f"Append it: --set rm.head.append_token={self.token}"
            )
        return at

    def pooled(self, hidden: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """What the head is given of ``hidden`` (n_rows, width, size): shape (n_rows, size)."""
        if self.place == MEAN:
            weights = mask[..., None].to(hidden.dtype)
            return (hidden * weights).sum(1) / weights.sum(1)
        rows = []
        for row, (of_row, kept) in enumerate(zip(ids, mask.bool(), strict=True)):
            columns = kept.nonzero()[:, 0]
            rows.append(hidden[row, columns[self.position(of_row[columns].tolist())]])
        import torch

        return torch.stack(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Readout:
    """From a model to one reward per text.

    ``head`` names the module between hidden states and values, ``activation`` what stands between its layers.
    ``read_at`` None is what transformers' own heads do.
    ``output`` picks the values out of what the model's forward returns: an attribute, an index, or None for "the
    tensor itself, or its logits". ``weighting`` makes one number of several objectives; None: there is only one.
    """

    head: str = "score"
    activation: str | None = None
    read_at: ReadAt | None = None
    output: str | int | None = None
    weighting: tuple[float, ...] | None = None

    def scores(self, model: Any, hidden: torch.Tensor) -> torch.Tensor:
        """Rewards of the hidden states read, (n_rows, size) → (n_rows,)."""
        values: torch.Tensor = model.get_submodule(self.head)(hidden)
        return self.weighed(values)

    def of_output(self, output: Any, n_rows: int | None = None) -> torch.Tensor:
        """Rewards in what a model's forward returned for ``n_rows`` texts: shape (n_rows,).

        Raises:
            ModelError: there is no such output, or its shape is not one reward per text.
        """
        values = self._picked(output)
        if values.dim() == 0 and n_rows == 1:
            values = values[None]
        if n_rows is not None and (values.dim() == 0 or len(values) != n_rows):
            raise self._misshaped(values)
        return self.weighed(values)

    def weighed(self, values: torch.Tensor) -> torch.Tensor:
        """One number per row of ``values``, (n_rows,) or (n_rows, n_objectives)."""
        if values.dim() == 1 and self.weighting is None:
            return values
        expected = 1 if self.weighting is None else len(self.weighting)
        if values.dim() != 2 or values.shape[1] != expected:
            raise self._misshaped(values)
        if self.weighting is None:
            return values[:, 0]
        return values @ values.new_tensor(self.weighting)

    def _misshaped(self, values: torch.Tensor) -> ModelError:
        got, expected = "×".join(map(str, values.shape)), 1 if self.weighting is None else len(self.weighting)
        return ModelError(
            f"the model returns values of shape {got}; expected {expected} for each text. Say what to take of them: "
            "--set rm.head.output=NAME, or how to weigh them: --set 'rm.head.objectives=[0.5, 0.5]'"
        )

    def _picked(self, output: Any) -> torch.Tensor:
        import torch

        if self.output is None:
            found = output if isinstance(output, torch.Tensor) else getattr(output, "logits", None)
        elif isinstance(self.output, int):
            values = list(output.values()) if isinstance(output, dict) else output
            found = values[self.output] if self.output < len(values) else None
        else:
            found = output.get(self.output) if isinstance(output, dict) else None
            found = getattr(output, self.output, None) if found is None else found
        if isinstance(found, torch.Tensor):
            return found
        wanted = "logits" if self.output is None else self.output
        raise ModelError(
            f"the model's forward returns {_shown(output)}, no {wanted!r}. Name the one that holds the reward: "
            "--set rm.head.output=NAME (or its index)"
        )

    def identity(self) -> list[object]:
        """What makes it another readout; empty for what transformers itself does with one label."""
        if self == Readout():
            return []
        return [self.head, self.activation, str(self.read_at), self.output, self.weighting]


def _shown(output: Any) -> str:
    if isinstance(output, dict):
        return f"{type(output).__name__} with {', '.join(map(str, output))}"
    if isinstance(output, tuple | list):
        return f"a {type(output).__name__} of {len(output)}"
    return f"a {type(output).__name__}"
