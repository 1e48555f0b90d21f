"""Anthropic HH transcripts: ``\\n\\nHuman: …\\n\\nAssistant: …`` in one string (Bai et al. 2022, arXiv:2204.05862)."""

from __future__ import annotations

import re

from corpus.records import Conversation, Message

TURN = re.compile(r"\n\n(Human|Assistant):")
ROLES = {"Human": "user", "Assistant": "assistant"}


def is_transcript(text: str) -> bool:
    return text.startswith("\n\nHuman:")


def transcript_turns(text: str) -> Conversation:
    """The turns of a transcript, without the space around each. Nothing after a speaker is a turn without text."""
    parts = TURN.split(text)  # "", speaker, content, speaker, content, …
    return tuple(
        Message(role=ROLES[speaker], content=content.strip())
        for speaker, content in zip(parts[1::2], parts[2::2], strict=True)
    )
