"""Anthropic HH transcripts: ``\\n\\nHuman: …\\n\\nAssistant: …`` in one string (Bai et al. 2022, arXiv:2204.05862).

Its descendants have other line ends, no blank lines at the start, a preface before the first speaker, or ``### ``
before each.
"""

from __future__ import annotations

import re

from corpus.records import Conversation, Message

TURN = re.compile(r"\n\n(Human|Assistant):")
LOOSE_TURN = re.compile(r"(?:\A|\n\s*\n|\n?### ?)\s*(Human|Assistant):")
OPEN_END = "Assistant:"
ROLES = {"Human": "user", "Assistant": "assistant"}


def is_transcript(text: str) -> bool:
    """Whether the text is one wherever it stands."""
    return text.startswith(("\n\nHuman:", "\r\n\r\nHuman:"))


def is_open_transcript(text: str) -> bool:
    """A transcript of any kind that ends where the assistant is to answer."""
    return text.rstrip().endswith(OPEN_END) and len(LOOSE_TURN.findall(text.replace("\r\n", "\n"))) > 1


def transcript_turns(text: str) -> Conversation:
    """The turns of a transcript, without the space around each. Nothing after a speaker is a turn without text."""
    parts = TURN.split(text.replace("\r\n", "\n"))  # "", speaker, content, speaker, content, …
    return _turns(parts[1:])


def loose_turns(text: str) -> Conversation:
    """The turns of a text that is known to be a transcript, a preface as a system turn; empty where it is none."""
    preface, *rest = LOOSE_TURN.split(text.replace("\r\n", "\n"))
    if rest[:1] != ["Human"]:
        return ()
    before = (Message(role="system", content=preface.strip()),) if preface.strip() else ()
    return (*before, *_turns(rest))


def _turns(parts: list[str]) -> Conversation:
    return tuple(
        Message(role=ROLES[speaker], content=content.strip())
        for speaker, content in zip(parts[::2], parts[1::2], strict=True)
    )
