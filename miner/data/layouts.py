"""One row of any layout, as a conversation with a better and with worse responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from corpus.records import Conversation, Message
from miner.data.columns import ColumnMapping
from miner.data.messages import Cell, read_cell, shown
from miner.data.rows import Row
from miner.data.transcripts import is_transcript
from miner.errors import DataError


class Skip(StrEnum):
    """Why a well-formed row is of no use."""

    TIE = "the responses are equal or labelled a tie"
    EMPTY = "the prompt or a response has no text"
    DIVERGING = "the conversations do not part at an answer to the user"


@dataclass(frozen=True, slots=True)
class Preference:
    """What one row says: ``chosen`` is better than each of ``rejected``."""

    conversation: Conversation
    chosen: str | None
    rejected: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Responses:
    chosen: Cell | None
    rejected: tuple[Cell, ...]

    @property
    def all(self) -> tuple[Cell, ...]:
        return self.rejected if self.chosen is None else (self.chosen, *self.rejected)


def read_row(row: Row, mapping: ColumnMapping) -> Preference | Skip:
    """The preference in ``row``, or why there is none.

    Raises:
        DataError: a cell of the wrong type, a label without meaning, a prompt that does not end with the user's turn.
    """
    responses = _labelled(row, mapping) if mapping.label else _named(row, mapping)
    if responses is None:
        return Skip.TIE
    column = mapping.prompt
    conversation = _explicit_prompt(row, column, responses) if column else _shared_prompt(row, responses)
    if isinstance(conversation, Skip):
        return conversation
    texts: list[str] = []
    for cell in responses.all:
        answer = _answer(cell, conversation, row)
        if isinstance(answer, Skip):
            return answer
        texts.append(answer)
    if column and _is_transcript(row.values[column]):
        texts = [text.strip() for text in texts]
    if responses.chosen is None:
        return _compared(conversation, None, texts)
    return _compared(conversation, texts[0], texts[1:])


def _compared(conversation: Conversation, chosen: str | None, rejected: Sequence[str]) -> Preference | Skip:
    worse = tuple(dict.fromkeys(text for text in rejected if text != chosen))
    if rejected and not worse:
        return Skip.TIE
    filled = tuple(text for text in worse if text.strip())
    if (chosen is not None and not chosen.strip()) or (worse and not filled) or not conversation[-1].content.strip():
        return Skip.EMPTY
    return Preference(conversation, chosen, filled)


def _named(row: Row, mapping: ColumnMapping) -> _Responses:
    chosen = _cell(row, mapping.chosen) if mapping.chosen and row.values[mapping.chosen] is not None else None
    rejected: Any = row.values[mapping.rejected] if mapping.rejected else None
    if rejected is None or not mapping.rejected:
        return _Responses(chosen, ())
    if isinstance(rejected, list) and all(isinstance(item, (str, list)) for item in rejected):
        where = f"{row.where}, column {mapping.rejected!r}"
        return _Responses(chosen, tuple(read_cell(item, where) for item in rejected))
    return _Responses(chosen, (_cell(row, mapping.rejected),))


def _labelled(row: Row, mapping: ColumnMapping) -> _Responses | None:
    """None for a tie."""
    label = row.values[mapping.label or ""]
    if isinstance(label, float) and label.is_integer():
        label = int(label)  # an integer column with nulls arrives as floats
    meanings = mapping.label_meanings
    if str(label) in map(str, mapping.tie_labels):
        return None
    if str(label) not in meanings:
        known = ", ".join(f"{value} ({column!r})" for value, column in meanings.items())
        raise DataError(f"{row.where}, column {mapping.label!r}: expected one of {known}; got {shown(label)}")
    better = meanings[str(label)]
    worse = (name for name in mapping.responses if name != better)
    return _Responses(_cell(row, better), tuple(_cell(row, name) for name in worse))


def _cell(row: Row, column: str) -> Cell:
    return read_cell(row.values[column], f"{row.where}, column {column!r}")


def _explicit_prompt(row: Row, column: str, responses: _Responses) -> Conversation:
    """The prompt's turns. A text that the user says in the turns all responses share stands for those turns."""
    prompt = _cell(row, column)
    if isinstance(prompt, str):
        whole = [cell for cell in responses.all if not isinstance(cell, str) and len(cell) > 1]
        if whole and len(whole) == len(responses.all):
            shared = _shared_turns(whole)
            said = (turn.content.strip() for turn in shared if turn.role == "user")
            if prompt.strip() in said and shared[-1].role == "user":
                return shared
        return (Message(role="user", content=prompt),)
    if _is_transcript(row.values[column]) and prompt[-1] == Message(role="assistant", content=""):
        prompt = prompt[:-1]
    if prompt[-1].role != "user":
        hint = "" if responses.all else "; map the column as chosen if that turn is a good response"
        raise DataError(
            f"{row.where}, column {column!r}: the last turn must be the user's; it is {prompt[-1].role!r}{hint}"
        )
    return prompt


def _shared_prompt(row: Row, responses: _Responses) -> Conversation | Skip:
    whole = [cell for cell in responses.all if not isinstance(cell, str)]
    if not responses.all:
        raise DataError(f"{row.where}: every response is null and no prompt column is mapped: nothing to read")
    if len(whole) < len(responses.all) or min(map(len, whole)) < 2:
        raise DataError(
            f"{row.where}: without a prompt column the responses must be whole conversations (lists of turns, or "
            "transcripts that start with '\\n\\nHuman:'); map the prompt column"
        )
    shared = _shared_turns(whole)
    return shared if shared and shared[-1].role == "user" else Skip.DIVERGING


def _shared_turns(conversations: Sequence[Conversation]) -> Conversation:
    """The longest common beginning that leaves every conversation at least a turn."""
    first, longest = conversations[0], min(map(len, conversations)) - 1
    shared = 0
    while shared < longest and all(turns[shared] == first[shared] for turns in conversations):
        shared += 1
    return first[:shared]


def _answer(cell: Cell, conversation: Conversation, row: Row) -> str | Skip:
    """The text with which ``cell`` answers ``conversation``."""
    if isinstance(cell, str):
        return cell
    whole = cell[: len(conversation)] == conversation
    rest = cell[len(conversation) :] if whole else cell
    if not rest:
        return Skip.EMPTY
    if len(rest) > 1:
        if whole:
            return Skip.DIVERGING
        raise DataError(f"{row.where}: a response of {len(cell)} turns that does not start with the prompt's turns")
    if rest[0].role != "assistant":
        raise DataError(f"{row.where}: a response must be the assistant's turn; it is {rest[0].role!r}")
    return rest[0].content


def _is_transcript(prompt: Any) -> bool:
    """A transcript, whose last ``Assistant:`` waits for answers that start with a space."""
    return isinstance(prompt, str) and is_transcript(prompt)
