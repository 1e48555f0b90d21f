"""Whose texts are compared: what a policy wrote, texts from a file, findings of a corpus. And the sets they fall into.

Every statistic is taken on sets of the same number of texts. *Within* a prompt a set is its samples; *across* prompts
it is one sample of each of as many prompts. Texts that belong to no prompt have sets across alone. A statistic's
interval resamples sets, never texts: a text drawn twice would pass for a lack of variety.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, model_validator

from corpus.records import Conversation, Finding, digest
from miner.errors import DataError
from miner.files import read_rows

Scope = Literal["within", "across"]

MIN_TEXTS = 3  # of a set: with two there is one distance and nothing to cluster
MIN_SETS = 5  # for an interval


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptResponses:
    """One prompt and what was written for it; ``group`` is what intervals resample (its module, source, itself)."""

    key: str
    group: str
    responses: tuple[str, ...]
    prompt: Conversation = ()
    reference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseSets:
    """All that one side of a comparison wrote. ``paired``: the keys are prompts, which others may answer, too."""

    label: str
    written: tuple[PromptResponses, ...]
    paired: bool = True

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(text for one in self.written for text in one.responses)


def _as_turns(prompt: Any) -> Any:
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt or ()


GivenPrompt = Annotated[Conversation, BeforeValidator(_as_turns)]
"""A prompt as files have it: a string, turns of ``role`` and ``content``, or nothing."""


class TextRow(BaseModel):
    """One text of a file, with what it answers, if anything."""

    text: str = Field(validation_alias=AliasChoices("text", "response"))
    prompt: GivenPrompt = ()

    @model_validator(mode="before")
    @classmethod
    def _bare_text(cls, row: Any) -> Any:
        return {"text": row} if isinstance(row, str) else row


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSet:
    """Texts that a statistic is taken of. Sets of two sides with the same key are compared in pairs."""

    key: str
    group: str
    texts: tuple[str, ...]


def sets_within(response_sets: ResponseSets, size: int) -> list[TextSet]:
    """A set per prompt: its first ``size`` responses. Prompts with fewer have none."""
    return [
        TextSet(key=one.key, group=one.group, texts=one.responses[:size])
        for one in response_sets.written
        if len(one.responses) >= size
    ]


def sets_across(response_sets: ResponseSets, size: int, *, seed: int) -> list[TextSet]:
    """Prompts in blocks of ``size``, and of each block a set for every response number that all of it have.

    The sets of a block are one group: the same prompts come again. Blocks are drawn by key, so that two sides with the
    same prompts have the same blocks; prompts left over by the last block are in none.
    """
    order = sorted(response_sets.written, key=lambda one: digest([seed, one.key]))
    found = []
    for start in range(0, len(order) - size + 1, size):
        block = order[start : start + size]
        name = digest([one.key for one in block])
        for number in range(min(len(one.responses) for one in block)):
            texts = tuple(one.responses[number] for one in block)
            found.append(TextSet(key=f"{name}-{number}", group=name, texts=texts))
    return found


def read_texts(path: Path, *, samples: int, seed: int) -> ResponseSets:
    """Texts of a JSONL file: rows with ``text`` or ``response``, and ``prompt`` (text or turns) where there is one.

    Where every row has a prompt, each prompt keeps ``samples`` of its texts, drawn by ``seed``, or all it has.

    Raises:
        DataError: no such file, a row that is none, or no text at all.
    """
    rows = read_rows(path, TextRow, 'a text, or "text" or "response" with a "prompt"')
    if not rows:
        raise DataError(f'{path} holds no text; expected JSONL rows such as {{"prompt": "…", "text": "…"}}')
    return _grouped(path.name, [(row.prompt, row.text) for row in rows], samples=samples, seed=seed)


def of_findings(label: str, findings: Sequence[Finding], *, samples: int, seed: int) -> ResponseSets:
    """The responses of a corpus's findings, by prompt.

    Raises:
        DataError: there are none.
    """
    if not findings:
        raise DataError(f"{label} holds no finding; mine first: rmminer mine")
    ordered = sorted(findings, key=lambda one: one.finding_id)
    return _grouped(label, [(one.prompt, one.response) for one in ordered], samples=samples, seed=seed)


def _grouped(label: str, rows: Sequence[tuple[Conversation, str]], *, samples: int, seed: int) -> ResponseSets:
    if not all(prompt for prompt, _ in rows):
        alone = [PromptResponses(key=str(i), group=str(i), responses=(text,)) for i, (_, text) in enumerate(rows)]
        return ResponseSets(label=label, written=tuple(alone), paired=False)
    by_prompt: dict[Conversation, list[str]] = {}
    for prompt, text in rows:
        by_prompt.setdefault(prompt, []).append(text)
    written = []
    for prompt, texts in by_prompt.items():
        key = digest([[turn.role, turn.content] for turn in prompt])
        Random(f"{seed}|{key}").shuffle(texts)
        written.append(PromptResponses(key=key, group=key, responses=tuple(texts[:samples]), prompt=prompt))
    return ResponseSets(label=label, written=tuple(written))
