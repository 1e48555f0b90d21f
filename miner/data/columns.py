"""Which column holds what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from miner.errors import ConfigError, DataError

LabelValue = str | int


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMapping:
    """Names the columns of preference data. The better response is named by column or by label, never both.

    * ``prompt``: text, an ``\\n\\nHuman: …`` transcript, or a list of turns. Left out: ``chosen`` and ``rejected`` are
      whole conversations, and the turns they share are the prompt.
    * ``chosen``, ``rejected``: the response as text, as one assistant turn, or at the end of the whole conversation;
      ``rejected`` may be a list of these. Leave out what the data lacks. A null is a missing response.
    * ``responses`` with ``label``: the label's value says which response is better, the others are rejected. By
      default it counts from 1; ``label_values`` gives the value that stands for each response instead. Rows whose
      label is in ``tie_labels`` are counted and left out.
    * ``group``: rows with the same value share a split. Left out: the first user turn decides.

    ==========================  ==========================================================================
    LLMBar                      ``prompt="input", responses=("output_1", "output_2"), label="label"``
    PKU-SafeRLHF                ``prompt="prompt", responses=("response_0", "response_1"),``
                                ``label="better_response_id", label_values=(0, 1)``
    Chatbot arena               ``responses=("conversation_a", "conversation_b"), label="winner",``
                                ``label_values=("model_a", "model_b"), tie_labels=("tie", "tie (bothbad)")``
    demonstrations              ``chosen="messages"``
    ==========================  ==========================================================================
    """

    prompt: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    responses: tuple[str, ...] = ()
    label: str | None = None
    label_values: tuple[LabelValue, ...] = ()
    tie_labels: tuple[LabelValue, ...] = ()
    group: str | None = None

    def __post_init__(self) -> None:
        if self.responses and (self.chosen or self.rejected):
            raise ConfigError("map either chosen/rejected or responses with a label, not both")
        if bool(self.responses) != bool(self.label):
            raise ConfigError("responses and label go together: the label's value says which response is better")
        if (self.label_values or self.tie_labels) and not self.label:
            raise ConfigError("label_values and tie_labels say what a label means; map the label column too")
        if self.responses and (len(self.responses) < 2 or len(set(self.responses)) < len(self.responses)):
            raise ConfigError(f"responses must name two different columns or more; got {self.responses}")
        if self.label_values and len(set(self.label_values)) != len(self.responses):
            raise ConfigError(
                f"label_values needs one value per response: {len(self.responses)} responses, got {self.label_values}"
            )
        if not (self.prompt or self.chosen or self.responses):
            raise ConfigError("a column mapping needs prompt, chosen or responses: nothing else holds a conversation")

    @property
    def used(self) -> tuple[str, ...]:
        """The columns to read."""
        names = (self.prompt, self.chosen, self.rejected, *self.responses, self.label, self.group)
        return tuple(dict.fromkeys(name for name in names if name))

    @property
    def label_meanings(self) -> dict[str, str]:
        """Response column by label, both sides as text: a label "1" means what 1 does."""
        values = self.label_values or tuple(range(1, len(self.responses) + 1))
        return {str(value): column for value, column in zip(values, self.responses, strict=True)}

    def require(self, present: Sequence[str], where: str) -> None:
        """Every mapped column is among ``present``.

        Raises:
            DataError: one is not; names those that are there, and the nearest.
        """
        for name in self.used:
            if name not in present:
                raise DataError(f"{where}: no column {name!r}{_nearest(name, present)}. {_there(present)}")


def detect_columns(present: Sequence[str], where: str) -> ColumnMapping:
    """The mapping of TRL's and Anthropic HH's column names: ``prompt``/``chosen``/``rejected``, or ``messages``.

    Raises:
        DataError: none of these, one misspelt, or ``rejected`` alone: the mapping has to be given.
    """
    prompt, chosen, rejected = (name if name in present else None for name in ("prompt", "chosen", "rejected"))
    for name in {"prompt", "chosen", "rejected"} - set(present):
        if near := get_close_matches(name, present, n=1, cutoff=0.85):
            raise DataError(f"{where}: is column {near[0]!r} meant to be {name!r}? Rename it or give a ColumnMapping")
    if not chosen and not prompt and "messages" in present:
        prompt = "messages"
    if (rejected and not chosen) or not (prompt or chosen):
        expected = "prompt, chosen and rejected; chosen and rejected; prompt; or messages"
        hint = "Give a ColumnMapping for other names"
        raise DataError(f"{where}: expected columns {expected}. {_there(present)}. {hint}")
    return ColumnMapping(prompt=prompt, chosen=chosen, rejected=rejected)


def _nearest(name: str, present: Sequence[str]) -> str:
    found = get_close_matches(name, present, n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""


def _there(present: Sequence[str]) -> str:
    return f"The columns are: {', '.join(map(repr, present)) or 'none'}"
