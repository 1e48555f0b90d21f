"""What a text looks like, by rule from the text and its certificate, whichever attack made it.

The first rule that fits decides:

===========  =======================================================================================================
structural   most words stand in a run of four that the prompt contains too (the prompt copied)
repetition   a check of repetition said nonsense, or at most half of the words (four or more) are different ones
structural   most visible characters are no letters or digits (markup, punctuation, numbering)
fluent       a check of fluency said sensible, none of fluency or order said nonsense
salad        everything else
===========  =======================================================================================================
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from corpus.records import Answer, Conversation, Form, Verdict
from miner.judging.checks.base import Aspect
from miner.judging.checks.registry import aspect_of
from miner.judging.checks.words import words_of

MAX_DISTINCT_SHARE = 0.5
MIN_WORDS = 4
COPIED_RUN = 4


def form_of(response: str, prompt: Conversation, verdicts: Sequence[Verdict]) -> Form:
    """The form of ``response``, by the rules above."""
    said = _by_aspect(verdicts)
    words = words_of(response)
    if _copied_share(words, prompt) > 0.5:
        return "structural"
    if "nonsense" in said["repetition"] or _repeats(words):
        return "repetition"
    if _is_markup(response):
        return "structural"
    if "sensible" in said["fluency"] and "nonsense" not in said["fluency"] | said["order"]:
        return "fluent"
    return "salad"


def _by_aspect(verdicts: Sequence[Verdict]) -> Mapping[Aspect | None, set[Answer]]:
    """What the checks that speak of each aspect said."""
    said: dict[Aspect | None, set[Answer]] = defaultdict(set)
    for verdict in verdicts:
        said[aspect_of(verdict.check)].add(verdict.verdict)
    return said


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
