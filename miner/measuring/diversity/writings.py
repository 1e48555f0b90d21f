"""Whose texts are compared: what a policy wrote, texts from a file, findings of a corpus. And the sets they fall into.

Every statistic is taken on sets of the same number of texts. *Within* a prompt a set is its samples; *across* prompts
it is one sample of each of as many prompts. Texts that belong to no prompt have sets across alone. A statistic's
interval resamples sets, never texts: a text drawn twice would pass for a lack of variety.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

from corpus.records import Conversation, Finding, Message, digest
from miner.errors import DataError

Scope = Literal["within", "across"]

LEAST_TEXTS = 3  # of a set: with two there is one distance and nothing to cluster
LEAST_SETS = 5  # for an interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One prompt and what was written for it; ``group`` is what intervals resample (its module, source, itself)."""

    key: str
    group: str
    responses: tuple[str, ...]
    prompt: Conversation = ()
    reference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Writings:
    """All that one side of a comparison wrote. ``paired``: the keys are prompts, which others may answer, too."""

    label: str
    written: tuple[Written, ...]
    paired: bool = True

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(text for one in self.written for text in one.responses)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSet:
    """Texts that a statistic is taken of. Sets of two sides with the same key are compared in pairs."""

    key: str
    group: str
    texts: tuple[str, ...]


def sets_within(writings: Writings, size: int) -> list[TextSet]:
    """A set per prompt: its first ``size`` responses. Prompts with fewer have none."""
    return [
        TextSet(key=one.key, group=one.group, texts=one.responses[:size])
        for one in writings.written
        if len(one.responses) >= size
    ]


def sets_across(writings: Writings, size: int, *, seed: int) -> list[TextSet]:
    """Prompts in blocks of ``size``, and of each block a set for every response number that all of it have.

    The sets of a block are one group: the same prompts come again. Blocks are drawn by key, so that two sides with the
    same prompts have the same blocks; prompts left over by the last block are in none.
    """
    order = sorted(writings.written, key=lambda one: digest([seed, one.key]))
    found = []
    for start in range(0, len(order) - size + 1, size):
        block = order[start : start + size]
        name = digest([one.key for one in block])
        for number in range(min(len(one.responses) for one in block)):
            texts = tuple(one.responses[number] for one in block)
            found.append(TextSet(key=f"{name}-{number}", group=name, texts=texts))
    return found


def read_texts(path: Path, *, samples: int, seed: int) -> Writings:
    """Texts of a JSONL file: rows with ``text`` or ``response``, and ``prompt`` (text or turns) where there is one.

    Where every row has a prompt, each prompt keeps ``samples`` of its texts, drawn by ``seed``, or all it has.

    Raises:
        DataError: no such file, a row that is none, or no text at all.
    """
    rows = [_text_row(path, number, line) for number, line in enumerate(_lines(path), start=1) if line.strip()]
    if not rows:
        raise DataError(f'{path} holds no text; expected JSONL rows such as {{"prompt": "…", "text": "…"}}')
    return _grouped(path.name, rows, samples=samples, seed=seed)


def of_findings(label: str, findings: Sequence[Finding], *, samples: int, seed: int) -> Writings:
    """The responses of a corpus's findings, by prompt.

    Raises:
        DataError: there are none.
    """
    if not findings:
        raise DataError(f"{label} holds no finding; mine first: rmminer mine")
    ordered = sorted(findings, key=lambda one: one.finding_id)
    return _grouped(label, [(one.prompt, one.response) for one in ordered], samples=samples, seed=seed)


def _grouped(label: str, rows: Sequence[tuple[Conversation, str]], *, samples: int, seed: int) -> Writings:
    if not all(prompt for prompt, _ in rows):
        alone = [Written(key=str(i), group=str(i), responses=(text,)) for i, (_, text) in enumerate(rows)]
        return Writings(label=label, written=tuple(alone), paired=False)
    by_prompt: dict[Conversation, list[str]] = {}
    for prompt, text in rows:
        by_prompt.setdefault(prompt, []).append(text)
    written = []
    for prompt, texts in by_prompt.items():
        key = digest([[turn.role, turn.content] for turn in prompt])
        Random(f"{seed}|{key}").shuffle(texts)
        written.append(Written(key=key, group=key, responses=tuple(texts[:samples]), prompt=prompt))
    return Writings(label=label, written=tuple(written))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error}. Expected JSONL") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}. Expected a JSONL file of texts") from error


def _text_row(path: Path, number: int, line: str) -> tuple[Conversation, str]:
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise DataError(f"{path}, line {number}: not JSON: {error}") from error
    if isinstance(row, str):
        return (), row
    text = row.get("text", row.get("response")) if isinstance(row, dict) else None
    if not isinstance(text, str):
        raise DataError(f'{path}, line {number}: expected "text" or "response" with a string; got {line[:60]!r}')
    return conversation_of(row.get("prompt"), f"{path}, line {number}"), text


def conversation_of(prompt: Any, where: str) -> Conversation:
    """A prompt as a file has it: a string, turns of ``role`` and ``content``, or nothing.

    Raises:
        DataError: something else.
    """
    if prompt is None:
        return ()
    if isinstance(prompt, str):
        return (Message(role="user", content=prompt),)
    try:
        return tuple(Message(role=str(turn["role"]), content=str(turn["content"])) for turn in prompt)
    except (TypeError, KeyError):
        raise DataError(
            f'{where}: "prompt" must be a string or a list of role and content; got {prompt!r:.60}'
        ) from None
