"""Which column holds what."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from difflib import get_close_matches

from miner.errors import ConfigError, DataError

LabelValue = bool | int | float | str
GOOD_AND_BAD: tuple[LabelValue, ...] = (True, False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMapping:
    """Names the columns of preference data; a dot leads into a struct (``input.messages``).

    * ``prompt``: text, an ``\\n\\nHuman: …`` transcript, or a list of turns. Left out: ``chosen`` and ``rejected`` are
      whole conversations, and the turns they share are the prompt. ``system``: the system turn, where the prompt has
      none of its own; ``input``: text below the prompt's; ``history``: earlier (question, answer) pairs.
    * ``chosen``, ``rejected``: the response as text, as one assistant turn, or at the end of the whole conversation, or
      a list of these. Leave out what the data lacks. A null is a missing response.
    * ``responses`` with ``label`` or ``scores``: of several columns the better one, by the label's value or by the
      larger of as many score columns. By default a label counts from 1; ``label_values`` gives the value that stands
      for each response instead; of two numbers of opposite signs the sign decides, and 0 is a tie. Rows without a
      label, or with one of ``tie_labels``, are counted and left out.
    * ``answers``: one column, a list of responses (texts, or structs whose text is ``answer_text`` or goes by a usual
      name) with ``score`` (larger is better), ``rank`` (smaller is better), keys of the structs or columns of lists, or
      ``label`` (the best one's index, from 0).
    * ``completion``: one response a row, good or bad by ``label`` (``label_values``: the good value, then the bad one),
      or with a ``score``: rows of the same prompt belong together.
    * ``group``: rows with the same value share a split. Left out: the first user turn decides.
    """

    prompt: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    responses: tuple[str, ...] = ()
    label: str | None = None
    label_values: tuple[LabelValue, ...] = ()
    tie_labels: tuple[LabelValue, ...] = ()
    scores: tuple[str, ...] = ()
    answers: str | None = None
    answer_text: str | None = None
    score: str | None = None
    rank: str | None = None
    completion: str | None = None
    system: str | None = None
    input: str | None = None
    history: str | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        ways = [bool(self.chosen or self.rejected), bool(self.responses), bool(self.answers), bool(self.completion)]
        if sum(ways) > 1:
            raise ConfigError(
                "map either chosen/rejected or responses with a label (or answers, or completion), not both"
            )
        if not (self.prompt or self.chosen or self.responses or self.completion):
            raise ConfigError("a column mapping needs prompt, chosen or responses: nothing else holds a conversation")
        self._check_responses()
        if (self.label_values or self.tie_labels) and not self.label:
            raise ConfigError("label_values and tie_labels say what a label means; map the label column too")
        if self.answers and not self.prompt:
            raise ConfigError("answers are to a prompt; map the prompt column too")
        if (self.score or self.rank) and not (self.answers or self.completion):
            raise ConfigError("score and rank are of answers or a completion; several score columns are called scores")
        if self.completion and (bool(self.label) == bool(self.score) or self.rank):
            raise ConfigError("a completion needs a label (good or bad) or a score, one of the two")
        if (self.input or self.history) and not self.prompt:
            raise ConfigError("input and history belong to a prompt; map the prompt column too")

    def _check_responses(self) -> None:
        values = self.label_values
        if self.responses and bool(self.label) == bool(self.scores):
            raise ConfigError("responses and label go together: the label's value says which response is better")
        if (self.label or self.scores) and not (self.responses or self.completion or self.answers):
            raise ConfigError("responses and label go together: the label's value says which response is better")
        if self.responses and (len(self.responses) < 2 or len(set(self.responses)) < len(self.responses)):
            raise ConfigError(f"responses must name two different columns or more; got {self.responses}")
        if self.scores and len(self.scores) != len(self.responses):
            raise ConfigError(f"scores need one column per response; got {self.scores} for {self.responses}")
        if self.responses and values and len(set(map(canonical, values))) != len(self.responses):
            raise ConfigError(
                f"label_values needs one value per response: {len(self.responses)} responses, got {values}"
            )
        if self.completion and values and len(set(map(canonical, values))) != 2:
            raise ConfigError(f"label_values of a completion are the good value and the bad one; got {values}")

    @property
    def used(self) -> tuple[str, ...]:
        """The columns to read, and the paths into them."""
        keys = () if self.answers else (self.score, self.rank)  # keys of structs are no columns
        names = (
            self.prompt, self.chosen, self.rejected, *self.responses, self.label, *self.scores, self.answers, *keys,
            self.completion, self.system, self.input, self.history, self.group,
        )  # fmt: skip
        return tuple(dict.fromkeys(name for name in names if name))

    @property
    def label_meanings(self) -> dict[str, str]:
        """Response column by label, in canonical form: a label "1" means what 1 does."""
        values = self.label_values or tuple(range(1, len(self.responses) + 1))
        return {canonical(value): column for value, column in zip(values, self.responses, strict=True)}

    @property
    def signed(self) -> tuple[str, str] | None:
        """The better response where the label is below 0 and where it is above, if its sign is what decides."""
        if len(self.label_values) != 2 or not all(_is_number(value) for value in self.label_values):
            return None
        first, second = self.label_values
        if not float(first) * float(second) < 0:
            return None
        below, above = self.responses if float(first) < 0 else self.responses[::-1]
        return below, above

    def __str__(self) -> str:
        """As ``--set data.columns=…`` takes it."""
        given = [(one.name, getattr(self, one.name)) for one in fields(self) if getattr(self, one.name)]
        return "{" + ", ".join(f"{name}={_toml(value)}" for name, value in given) + "}"


def canonical(label: object) -> str:
    """A label as text: whole floats (a column with nulls), as text too, as integers, truth values in small letters."""
    if isinstance(label, bool):
        return str(label).lower()
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    text = re.sub(r"(?<=\d)\.0+$", "", str(label).strip())
    return text.lower() if text.lower() in ("true", "false") else text


def require_columns(mapping: ColumnMapping, lacking: Iterable[str], present: Iterable[str], where: str) -> None:
    """No mapped column is ``lacking`` in every row.

    Raises:
        DataError: one is; names those that are there, and the nearest.
    """
    there = list(present)
    for name in mapping.used:
        if name in lacking:
            raise DataError(f"{where}: no column {name!r}{nearest(name, there)}. {listed(there)}")


def nearest(name: str, present: Iterable[str]) -> str:
    found = get_close_matches(name, list(present), n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""


def listed(present: Iterable[str]) -> str:
    names = list(present)
    more = f" and {len(names) - 24} more" if len(names) > 24 else ""
    return f"The columns are: {', '.join(map(repr, names[:24])) or 'none'}{more}"


def _is_number(value: LabelValue) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)
