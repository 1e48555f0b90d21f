"""Conversations as a tokenizer's chat template writes them: the same text on every day, in every zone and locale.

Templates may ask for the date (``strftime_now``: Llama 3.1 and 3.2, Granite) and would write another text every day.
They are given one that the campaign pins: the clock that transformers' templates look at is set while one of ours is
rendered. (What a template is passed from outside, transformers reduces to plain data first: no function gets in.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, datetime, time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from corpus.records import Message
from miner.checkpoints.folders import first_line
from miner.config.reward_model import PINNED_DATE
from miner.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

ASKS_FOR_DATE = "strftime_now"
NOON = time(12)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


def render_chat(
    tokenizer: PreTrainedTokenizerFast,
    turns: Sequence[Message],
    *,
    begin_answer: bool = False,
    today: date | datetime = PINNED_DATE,
) -> str:
    """The turns as the chat template writes them, on noon of the day that it is told is today.

    Raises:
        ModelError: it refuses them, in its own words; the message has no advice yet.
    """
    moment = today if isinstance(today, datetime) else datetime.combine(today, NOON)
    written = [{"role": turn.role, "content": turn.content} for turn in turns]
    try:
        with _clock_at(moment):
            return str(tokenizer.apply_chat_template(written, tokenize=False, add_generation_prompt=begin_answer))
    except Exception as error:  # a template is a program: jinja's errors, and whatever its expressions raise
        roles = ", ".join(turn.role for turn in turns)
        raise ModelError(f"chat template refuses turns of {roles}: {first_line(error)}") from error


_TOLD: ContextVar[datetime | None] = ContextVar("_TOLD", default=None)


class _Moment:
    """What a template asks a moment for."""

    def __init__(self, moment: datetime) -> None:
        self._moment = moment

    def strftime(self, form: str) -> str:
        return in_english(self._moment, form)


class _Clock(datetime):
    """``datetime`` as transformers' templates use it: its ``now`` is what was told, or the time it is."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        told = _TOLD.get()
        return datetime.now(tz) if told is None else _Moment(told)


@contextmanager
def _clock_at(moment: datetime) -> Iterator[None]:
    """Within it, in this thread, it is ``moment`` to chat templates."""
    chat_template_utils: Any = import_module("transformers.utils.chat_template_utils")

    templates: Any = chat_template_utils
    templates.datetime = _Clock  # for good: outside of here it shows the time it is
    token = _TOLD.set(moment)
    try:
        yield
    finally:
        _TOLD.reset(token)


def in_english(moment: datetime, form: str) -> str:
    """``strftime`` with the names of the C locale, whatever this process's locale is."""
    day, month, half = DAYS[moment.weekday()], MONTHS[moment.month - 1], "AM" if moment.hour < 12 else "PM"
    clock, numbers = moment.strftime("%H:%M:%S"), moment.strftime("%m/%d/%y")
    names = {
        "A": day, "a": day[:3], "B": month, "b": month[:3], "h": month[:3], "p": half, "X": clock, "x": numbers,
        "c": f"{day[:3]} {month[:3]} {moment.day:2d} {clock} {moment.year}",
    }  # fmt: skip
    return moment.strftime(re.sub(r"%(.)", lambda found: names.get(found[1], found[0]), form))
