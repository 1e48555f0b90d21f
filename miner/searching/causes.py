"""Which findings share a cause, told from their texts alone: what a scheduler counts as one and the same failure.

A cause is a form and a core. The core is what the text is made of once what any text would do for is taken out:

repetition   the pattern of its words, whatever they are: "file file file" and "digest digest" are one
structural   the words that the prompt does not have: every copied prompt is one, whatever it asks
others       the words themselves; texts that share most of them are one

What a finding really lives on takes queries to tell: see ``rmminer triage``.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from corpus.records import Finding, Form
from miner.judging.checks.words import words_of

SHARED_WORDS = 0.5  # Jaccard similarity of two cores from which on they are one

Core = frozenset[str]


@dataclass(slots=True)
class Causes:
    """The causes seen so far, in the order of the findings."""

    _cores: dict[Form, list[Core]] = field(default_factory=lambda: defaultdict(list))

    def is_new(self, finding: Finding) -> bool:
        """Whether no finding before had this one's cause; it is known from then on."""
        core, known = core_of(finding), self._cores[finding.form]
        if any(_alike(core, other) for other in known):
            return False
        known.append(core)
        return True


def core_of(finding: Finding) -> Core:
    """What tells the finding's cause from others of its form."""
    words = words_of(finding.response)
    match finding.form:
        case "repetition":
            numbers = {word: str(at) for at, word in enumerate(dict.fromkeys(words))}
            return frozenset(numbers.values())
        case "structural":
            return frozenset(words) - {word for turn in finding.prompt for word in words_of(turn.content)}
        case _:
            return frozenset(words)


def _alike(one: Core, other: Core) -> bool:
    return one == other or len(one & other) >= SHARED_WORDS * len(one | other)
