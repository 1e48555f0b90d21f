"""What a user is shown: progress and findings on stderr, results on stdout. Mined text is made safe here."""

from __future__ import annotations

import codecs
import dataclasses
import io
import json
import math
import os
import shlex
import sys
from typing import Any, NoReturn

from rich.console import Console
from rich.text import Text

from miner import safe_text

RESPONSE_CHARACTERS = 160


class _Aside(Console):
    """Stderr. A reader that goes away is no reason to end: from then on nobody is told."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self.file.fileno())


class _Results(Console):
    """Stdout. Without a reader there is nothing left to do."""

    def on_broken_pipe(self) -> None:
        _end_unread()


def _end_unread() -> NoReturn:
    """Ends the process at once, with status 1: on the ordinary way out pyarrow's threads abort it now and then."""
    os._exit(1)


def out() -> Console:
    return _Results(highlight=False, soft_wrap=True)


def err() -> Console:
    return _Aside(stderr=True, highlight=False, soft_wrap=True)


IN_ASCII = {
    "→": "->", "←": "<-", "≥": ">=", "≤": "<=", "≈": "~", "±": "+-", "−": "-", "–": "-", "—": "-", "×": "x", "…": "...",
    "·": "*", "•": "*", "‘": "'", "’": "'", "“": '"', "”": '"', "²": "^2", "√": "sqrt ", "λ": "lambda", "β": "beta",
}  # fmt: skip


def spell_out_what_is_lacking() -> None:
    """From now on characters that the console's encoding lacks are spelled in ASCII ("->"), or as escapes
    (``\\u65e5``)."""
    codecs.register_error("rmminer.spelled", _spelled)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="rmminer.spelled")


def _spelled(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    shown = "".join(IN_ASCII.get(char) or char.encode("ascii", "backslashreplace").decode() for char in lacking)
    return shown, error.end


def command_line() -> str:
    """The command that this process was started with, as a shell takes it."""
    return shlex.join(["rmminer", *sys.argv[1:]])


def say_error(message: str) -> None:
    """One line on stderr, whatever the message holds."""
    err().print(Text.assemble(("rmminer: ", "bold red"), safe_text.terminal(message)))


def print_json(value: Any) -> None:
    """``value`` as one JSON document on stdout: ASCII, so that mined text stays data in any terminal."""
    try:
        print(json.dumps(plain(value), indent=1, allow_nan=False), flush=True)
    except BrokenPipeError:
        _end_unread()


def plain(value: Any) -> Any:
    """Dataclasses as objects, NaN as null, everything else that JSON lacks as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def clipped(text: str, limit: int = RESPONSE_CHARACTERS) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
