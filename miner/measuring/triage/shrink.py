"""What a finding can do without: its smallest text that is still one, and the core that alone earns its reward.

Three steps, by exact rewards from text on the finding's own prompt:

minimal    ddmin over words: still wins and is still certified. This is the text to show and to keep.
core       the same again, winning alone: what the checks need to convict (eight words, say) is no cause of the reward
essential  words of the core whose exchange for others, everywhere in it, loses the win: where none is, the RM falls for
           the shape (a word repeated, sheer length), not for what it says. Those that the prompt has too are an echo of
           it, unless the core also scores high on prompts without them
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from corpus.records import Conversation, digest
from miner.measuring.triage.ddmin import ddmin
from miner.measuring.triage.pieces import distinct_words, joined, pieces_of, renamed
from miner.rewards.base import RewardModel

NAMES = 3  # sets of other words that a core's words are exchanged for


Try = tuple[str, int]  # a text, and the other prompt that it is tried on, by index
OWN = -1  # the finding's own prompt, in a try


@dataclass(frozen=True, slots=True)
class Reduce:
    """Does one of these pass? Answered with its index or None; of several the first ``n_parts`` go first."""

    texts: tuple[str, ...]
    n_parts: int
    certified: bool

    @property
    def tries(self) -> tuple[Try, ...]:
        return tuple((text, OWN) for text in self.texts)


@dataclass(frozen=True, slots=True)
class Probe:
    """Which of these win? Answered with a bool each. On another prompt, to win is to reach the threshold."""

    tries: tuple[Try, ...]

    @classmethod
    def of(cls, texts: Sequence[str]) -> Probe:
        return cls(tuple((text, OWN) for text in texts))


Ask = Reduce | Probe


class _QueriesSpent(Exception):
    """Thrown into a search that asks for more than its cap leaves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShrinkResult:
    """What the three steps left of a text; ``essential`` is None where the cap came before it was known."""

    minimal: str
    pieces_before: int
    pieces_after: int
    one_minimal: bool
    core: str
    core_one_minimal: bool
    essential: tuple[str, ...] | None
    echoed: tuple[str, ...] = ()


def dissect(
    response: str, prompt: Conversation, rm: RewardModel, elsewhere: Sequence[Conversation]
) -> Generator[Ask, object, ShrinkResult]:
    """The three steps on one response; ``rm`` lends words, it scores nothing here. ``elsewhere`` are other prompts."""
    pieces = pieces_of(response)
    kept, one_minimal = yield from _reduced(pieces, certified=True)
    minimal = response if len(kept) == len(pieces) else joined(kept)
    core_pieces, core_done = yield from _reduced(kept, certified=False)
    core = minimal if len(core_pieces) == len(kept) else joined(core_pieces)
    essential = yield from _essential(core, rm)
    echoed = (yield from _echoed(core, essential, prompt, elsewhere)) if essential else ()
    return ShrinkResult(
        minimal=minimal,
        pieces_before=len(pieces),
        pieces_after=len(kept),
        one_minimal=one_minimal,
        core=core,
        core_one_minimal=core_done,
        essential=None if essential is None else tuple(word for word in essential if word not in echoed),
        echoed=echoed,
    )


def _reduced(pieces: Sequence[str], *, certified: bool) -> Generator[Ask, object, tuple[tuple[str, ...], bool]]:
    """The pieces that ddmin keeps, and whether it came to its end."""
    kept, steps = tuple(pieces), ddmin(len(pieces))
    try:
        candidates = next(steps)
        while True:
            texts = tuple(joined([pieces[i] for i in one]) for one in candidates.kept)
            passed = cast("int | None", (yield Reduce(texts, candidates.n_parts, certified)))
            if passed is not None:
                kept = tuple(pieces[i] for i in candidates.kept[passed])
            candidates = steps.send(passed)
    except StopIteration:
        return kept, True
    except _QueriesSpent:
        return kept, False


def _essential(core: str, rm: RewardModel) -> Generator[Ask, object, tuple[str, ...] | None]:
    """The words that the core cannot exchange: with other names for them it wins in less than half of the trials."""
    words = distinct_words(core)
    names = _names(core, words, rm)
    try:
        everything = cast("tuple[bool, ...]", (yield Probe.of([renamed(core, other) for other in names])))
        if _mostly(everything) or not words:
            return ()
        trials = [renamed(core, {word: other[word]}) for word in words for other in names]
        wins = cast("tuple[bool, ...]", (yield Probe.of(trials)))
    except _QueriesSpent:
        return None
    return tuple(word for at, word in enumerate(words) if not _mostly(wins[at * NAMES : (at + 1) * NAMES]))


def _echoed(
    core: str, essential: Sequence[str], prompt: Conversation, elsewhere: Sequence[Conversation]
) -> Generator[Ask, object, tuple[str, ...]]:
    """The essential words that only count because the prompt has them, as far as prompts without them can tell."""
    both = set(essential) & _words_of(prompt)
    without = [at for at, other in enumerate(elsewhere) if not both & _words_of(other)][:NAMES]
    if not both or not without:
        return tuple(sorted(both))
    try:
        wins = cast("tuple[bool, ...]", (yield Probe(tuple((core, at) for at in without))))
    except _QueriesSpent:
        return tuple(sorted(both))
    return () if _mostly(wins) else tuple(sorted(both))


def _words_of(prompt: Conversation) -> set[str]:
    return {word for turn in prompt for word in distinct_words(turn.content)}


def _names(core: str, words: Sequence[str], rm: RewardModel) -> list[dict[str, str]]:
    """``NAMES`` times another word for each, none of them of the core, drawn from the RM's vocabulary by the text."""
    rng = np.random.default_rng(int(digest(core)[:12], 16))
    drawn = dict.fromkeys(rm.words(2 * NAMES * (len(words) + 1), rng))
    others = [word for word in drawn if word.casefold() not in words] or list(drawn)
    return [{word: others[(at * NAMES + set_) % len(others)] for at, word in enumerate(words)} for set_ in range(NAMES)]


def _mostly(wins: Sequence[bool]) -> bool:
    return 2 * sum(wins) > len(wins)
