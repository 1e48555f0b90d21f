"""What a text looks like, by rule from the text and its certificate, whichever attack made it.

The first rule that fits decides:

===========  =======================================================================================================
structural   most words stand in a run of four that the prompt contains too (the prompt copied)
repetition   the repetition check said nonsense, or at most half of the words (four or more) are different ones
structural   most visible characters are no letters or digits (markup, punctuation, numbering)
fluent       the fluency check and, where it gave evidence, the order check said sensible
salad        everything else
===========  =======================================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence

from corpus.records import Conversation, Form, Verdict
from miner.judging.checks.words import words_of

MAX_DISTINCT_SHARE = 0.5
MIN_WORDS = 4
COPIED_RUN = 4


def form_of(response: str, prompt: Conversation, verdicts: Sequence[Verdict]) -> Form:
    """The form of ``response``, by the rules above."""
    answers = {verdict.check: verdict.verdict for verdict in verdicts}
    words = words_of(response)
    if _copied_share(words, prompt) > 0.5:
        return "structural"
    if answers.get("repetition") == "nonsense" or _repeats(words):
        return "repetition"
    if _is_markup(response):
        return "structural"
    if answers.get("fluency") == "sensible" and answers.get("order", "abstain") != "nonsense":
        return "fluent"
    return "salad"


def _repeats(words: Sequence[str]) -> bool:
    return len(words) >= MIN_WORDS and len(set(words)) <= MAX_DISTINCT_SHARE * len(words)


def _is_markup(text: str) -> bool:
    visible = [character for character in text if not character.isspace()]
    return sum(not character.isalnum() for character in visible) > len(visible) / 2


def _copied_share(words: Sequence[str], prompt: Conversation) -> float:
    """Share of the words inside a run of ``COPIED_RUN`` words that the prompt contains in that order."""
    asked = {run for turn in prompt for run in _runs(words_of(turn.content))}
    copied = {at + step for at, run in enumerate(_runs(words)) if run in asked for step in range(COPIED_RUN)}
    return len(copied) / len(words) if words else 0.0


def _runs(words: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + COPIED_RUN]) for at in range(len(words) - COPIED_RUN + 1)]
