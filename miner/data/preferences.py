"""One row of any layout, as a conversation with a better and with worse responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from corpus.records import Conversation, Message
from miner.data.cells import is_json, is_texts
from miner.data.messages import Cell, is_plain, shown, valid_text
from miner.data.responses import Cells, Reading, Responses, plain, read_responses
from miner.data.rows import Reason, Row, UnusableRowError
from miner.data.transcripts import is_open_transcript, is_transcript, loose_turns

MEDIA_COLUMNS = ("image", "images", "video", "videos", "audio", "audios")
MEDIA = frozenset(MEDIA_COLUMNS)
ASKING = ("user", "tool")  # whom an answer may follow: a tool's result, too
INSTRUCTING = ("system", "developer")


class Preference(NamedTuple):
    """What one row says: ``chosen`` is better than each of ``rejected``.

    ``score`` is that of ``chosen`` where rows of one prompt are compared; ``n_spare`` good answers are not used;
    ``echoes``: every response begins with the prompt's text; ``is_json``: a response is JSON.
    """

    conversation: Conversation
    chosen: str | None
    rejected: tuple[str, ...] = ()
    score: float | None = None
    n_spare: int = 0
    echoes: bool = False
    is_json: bool = False


def read_row(row: Row, reading: Reading) -> Preference:
    """The preference in ``row``.

    Raises:
        UnusableRowError: there is none, and why.
    """
    if reading.pair and (found := _plain_pair(row, *reading.pair)):
        return found
    for name in MEDIA_COLUMNS:
        if _is_there(row.values.get(name)):
            raise UnusableRowError(
                Reason.MEDIA, f"{row.where}, column {name!r}", "the RM would be shown its text alone"
            )
    cells, mapping = Cells(row, reading), reading.mapping
    asked = cells.value(mapping.prompt) if mapping.prompt else None
    responses = read_responses(cells, asked)
    told_within = _is_told_again(asked, responses) or (asked is None and _are_whole(responses))
    if mapping.prompt and not told_within:
        prompt = _prompt_cell(cells, mapping.prompt, asked)
        conversation, answers = _explicit_prompt(cells, mapping.prompt, prompt, responses), responses.all
    else:
        conversation, answers = _shared_prompt(row, responses)
    texts = [_answer(cell, conversation, row) for cell in answers]
    if isinstance(asked, str) and (is_transcript(asked) or is_open_transcript(asked)):
        texts = [text.strip() for text in texts]  # its last "Assistant:" waits for answers that start with a space
    if not any(turn.role == "user" for turn in conversation):
        raise UnusableRowError(Reason.ORDER, row.where, "no turn of the prompt is the user's")
    return _compared(row, _with_system(cells, conversation), responses, texts)


def _plain_pair(row: Row, asks: str, good: str, bad: str) -> Preference | None:
    """The preference in a row of three plain texts, as most rows of most data are, without a look at all that they
    could be; None where one is called for. Texts that begin alike may repeat the prompt."""
    prompt, chosen, rejected = map(row.values.get, (asks, good, bad))
    if not (is_plain(prompt) and is_plain(chosen) and is_plain(rejected)) or not MEDIA.isdisjoint(row.values):
        return None
    if chosen == rejected or prompt[0] == chosen[0] == rejected[0]:
        return None
    return Preference((Message(role="user", content=prompt),), chosen, (rejected,))


def _compared(row: Row, conversation: Conversation, responses: Responses, texts: list[str]) -> Preference:
    chosen = None if responses.chosen is None else texts.pop(0)
    worse = tuple(dict.fromkeys(text for text in texts if text != chosen))
    if texts and not worse:
        raise UnusableRowError(Reason.EQUAL, row.where, "the responses are equal")
    filled = tuple(text for text in worse if text.strip())
    asked = conversation[-1].content.strip()
    if (chosen is not None and not chosen.strip()) or (worse and not filled) or not asked:
        raise UnusableRowError(Reason.EMPTY, row.where, "the prompt or a response has no text")
    given = [text for text in (chosen, *filled) if text is not None]
    return Preference(
        conversation=conversation,
        chosen=chosen,
        rejected=filled,
        score=responses.score,
        n_spare=responses.n_spare,
        echoes=bool(given) and all(text.strip().startswith(asked) and text.strip() != asked for text in given),
        is_json=any(map(is_json, given)),
    )


def _is_there(value: Any) -> bool:
    """Whether a column of images or the like holds one: not null, nor a list or struct of nulls."""
    if isinstance(value, Mapping):
        return any(map(_is_there, value.values()))
    return any(map(_is_there, value)) if isinstance(value, list) else bool(value)


def _is_told_again(asked: Any, responses: Responses) -> bool:
    """A list of several questions that every response answers one by one, questions included."""
    return is_texts(asked) and len(asked) > 1 and _are_whole(responses)


def _are_whole(responses: Responses) -> bool:
    """Every response is a whole conversation."""
    return bool(responses.all) and all(not isinstance(cell, str) and len(cell) > 1 for cell in responses.all)


def _prompt_cell(cells: Cells, column: str, asked: Any) -> Cell:
    """The prompt with its input below it and its history before it."""
    if is_texts(asked):
        roles = ("user", "assistant")
        said = [cells.read(text, column) for text in asked]
        if len(said) == 1:
            return said[0]
        return tuple(Message(role=roles[n % 2], content=str(text)) for n, text in enumerate(said))
    prompt, mapping = cells.read(plain(asked), column), cells.reading.mapping
    below = cells.value(mapping.input) if mapping.input else None
    earlier = cells.value(mapping.history) if mapping.history else None
    if below is None and earlier is None:
        return prompt
    if not isinstance(prompt, str) or not isinstance(below or "", str) or not isinstance(earlier or [], list):
        detail = f"input and history go with a prompt that is text; got {shown(asked)}"
        raise UnusableRowError(Reason.CELL, cells.where(column), detail)
    if below and below.strip():
        below = valid_text(below, cells.where(mapping.input or ""))
        prompt = f"{prompt}\n{below}" if prompt.strip() else below
    turns = [_pair(pair, cells.where(mapping.history or "")) for pair in earlier or []]
    return (*(turn for pair in turns for turn in pair), Message(role="user", content=prompt)) if turns else prompt


def _pair(pair: Any, where: str) -> tuple[Message, Message]:
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
        raise UnusableRowError(Reason.CELL, where, f"expected pairs of a question and its answer; got {shown(pair)}")
    asked, answered = (valid_text(text, where) for text in pair)
    return Message(role="user", content=asked), Message(role="assistant", content=answered)


def _explicit_prompt(cells: Cells, column: str, prompt: Cell, responses: Responses) -> Conversation:
    """The prompt's turns. A text that the user says in the turns all responses share stands for those turns; a system
    turn that all responses put before the prompt is part of it."""
    whole = [cell for cell in responses.all if not isinstance(cell, str) and len(cell) > 1]
    shared = _shared_turns(whole) if whole and len(whole) == len(responses.all) else ()
    asks = bool(shared) and shared[-1].role in ASKING
    if isinstance(prompt, str):
        said = (turn.content.strip() for turn in shared if turn.role == "user")
        return shared if asks and prompt.strip() in said else (Message(role="user", content=prompt),)
    if len(prompt) > 1 and prompt[-1] == Message(role="assistant", content=""):
        prompt = prompt[:-1]
    if asks and len(shared) > len(prompt) and _starts_with(shared[-len(prompt) :], prompt):
        before = shared[: -len(prompt)]
        if all(turn.role in INSTRUCTING for turn in before):
            return (*before, *prompt)
    if prompt[-1].role not in ASKING:
        hint = "" if responses.all else "; map the column as chosen if that turn is a good response"
        detail = f"the last turn must be the user's; it is {prompt[-1].role!r}{hint}"
        raise UnusableRowError(Reason.ORDER, cells.where(column), detail)
    return prompt


def _shared_prompt(row: Row, responses: Responses) -> tuple[Conversation, tuple[Cell, ...]]:
    """The turns that all whole conversations share, and the responses, transcripts of any kind read as turns."""
    if not responses.all:
        raise UnusableRowError(
            Reason.NOTHING, row.where, "every response is null and no prompt column is mapped: nothing to read"
        )
    cells = responses.all
    if all(isinstance(cell, str) for cell in cells):
        read = [loose_turns(str(cell)) for cell in cells]
        cells = tuple(read) if all(read) else cells
    whole = [cell for cell in cells if not isinstance(cell, str) and len(cell) > 1]
    if not whole or any(not isinstance(cell, str) and cell[-1].role != "assistant" for cell in cells if len(cell) < 2):
        raise UnusableRowError(
            Reason.NOTHING,
            row.where,
            "without a prompt column the responses must be whole conversations (lists of turns, or transcripts that "
            "start with '\\n\\nHuman:'); map the prompt column",
        )
    shared = _shared_turns(whole)
    if not shared or shared[-1].role not in ASKING:
        raise UnusableRowError(Reason.DIVERGING, row.where, "the conversations do not part at an answer to the user")
    return shared, cells


def _shared_turns(conversations: Sequence[Conversation]) -> Conversation:
    """The longest common beginning that leaves every conversation at least a turn."""
    first, longest = conversations[0], min(map(len, conversations)) - 1
    shared = 0
    while shared < longest and all(_starts_with(turns[shared:], first[shared : shared + 1]) for turns in conversations):
        shared += 1
    return first[:shared]


def _starts_with(turns: Conversation, prefix: Conversation) -> bool:
    """Space around a turn's text makes it no other turn."""
    return len(turns) >= len(prefix) and all(
        one.role == other.role and one.content.strip() == other.content.strip()
        for one, other in zip(turns, prefix, strict=False)
    )


def _answer(cell: Cell, conversation: Conversation, row: Row) -> str:
    """The text with which ``cell`` answers ``conversation``."""
    if isinstance(cell, str):
        return cell
    asked = tuple(turn for turn in conversation if turn.role not in INSTRUCTING)
    prefix = next((turns for turns in (conversation, asked) if turns and _starts_with(cell, turns)), ())
    rest = cell[len(prefix) :]
    if not rest:
        raise UnusableRowError(Reason.EMPTY, row.where, "a response ends with its prompt")
    if len(rest) > 1:
        if prefix:
            raise UnusableRowError(Reason.DIVERGING, row.where, f"a response goes on for {len(rest)} turns")
        detail = f"a response of {len(cell)} turns that does not start with the prompt's turns"
        raise UnusableRowError(Reason.ORDER, row.where, detail)
    if rest[0].role != "assistant":
        detail = f"a response must be the assistant's turn; it is {rest[0].role!r}"
        raise UnusableRowError(Reason.ORDER, row.where, detail)
    return rest[0].content


def _with_system(cells: Cells, conversation: Conversation) -> Conversation:
    """The conversation under the row's system text, where it has no such turn of its own."""
    column = cells.reading.mapping.system
    value = cells.value(column) if column else None
    if column is None or value is None or conversation[0].role in INSTRUCTING:
        return conversation
    if not isinstance(value, str):
        raise UnusableRowError(Reason.CELL, cells.where(column), f"expected text as system turn; got {shown(value)}")
    text = valid_text(value, cells.where(column))
    return (Message(role="system", content=text), *conversation) if text.strip() else conversation
