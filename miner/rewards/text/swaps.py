"""Single-token replacements as edits of text: proposed by gradient or by chance, kept only if they survive.

A replacement survives when the edited *string*, encoded again in its place in the pipeline, gives exactly the old ids
with that one id exchanged. Everything else (merges across the edit, a normaliser's rewriting) is dropped here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from attacks.queries import Swap, SwapTable
from corpus.records import Conversation, Message
from miner.rewards.base import Pair
from miner.rewards.text.pipeline import Encoded, Pipeline
from miner.rewards.text.vocabulary import Vocabulary

Candidate = tuple[int, int, float]  # (index into Encoded.positions, token id, predicted gain)
DRAWING_ROUNDS = 6
NEUTRAL_PROMPT: Conversation = (Message(role="user", content="Hello"),)
TEXTS_AT_ONCE = 8192


def edits_of(encoded: Encoded, response: str, vocabulary: Vocabulary, candidate: Candidate) -> list[Swap]:
    """The candidate's token in place of the one at its position, as the character edits that may bring it about."""
    index, token, gain = candidate
    surface = vocabulary.surfaces[token]
    start, end = encoded.spans[index]
    if not vocabulary.tokens_carry_spaces:
        return [Swap(start, end, surface, gain)]
    while start > 0 and response[start - 1] == " ":  # offsets leave out the space the token carries
        start -= 1
    while start < end - 1 and response[start : start + 2] == "  ":
        start += 1
    edits = [Swap(start, end, surface, gain)]
    if start == 0 and surface.startswith(" "):  # that space may be the template's, or be put there by the tokenizer
        edits.insert(0, Swap(start, end, surface[1:], gain))
    return edits


@dataclass(frozen=True, slots=True, kw_only=True)
class EditableText:
    """A response on each of its prompts, encoded in its place there, and the single-token edits that survive on all."""

    pipeline: Pipeline
    vocabulary: Vocabulary
    prompts: tuple[Conversation, ...]
    response: str
    encoded: tuple[Encoded, ...]

    @classmethod
    def of(
        cls, pipeline: Pipeline, vocabulary: Vocabulary, prompts: Sequence[Conversation], response: str
    ) -> EditableText:
        encoded = tuple(pipeline.encode(Pair(prompt, response)) for prompt in prompts)
        return cls(pipeline=pipeline, vocabulary=vocabulary, prompts=tuple(prompts), response=response, encoded=encoded)

    @property
    def has_positions(self) -> bool:
        """Whether the prompts agree on the response's tokens: where not, no single token is edited."""
        first = self.encoded[0]
        return bool(first.positions) and all(one.spans == first.spans for one in self.encoded)

    def survivors(self, candidates: Sequence[Candidate]) -> dict[Candidate, Swap]:
        """The candidates of which one edit survives on every prompt, with that edit, in the order given."""
        tried = [(c, edit) for c in candidates for edit in edits_of(self.encoded[0], self.response, self.vocabulary, c)]
        for prompt, one in dict(zip(self.prompts, self.encoded, strict=True)).items():
            again = self.pipeline.ids([Pair(prompt, edit.apply(self.response)) for _, edit in tried])
            tried = [both for both, (ids, _) in zip(tried, again, strict=True) if ids == _exchanged(one, both[0])]
        kept: dict[Candidate, Swap] = {}
        for candidate, edit in tried:
            kept.setdefault(candidate, edit)
        return kept

    def table(self, candidates: Sequence[Candidate], k: int) -> SwapTable:
        """Per position the ``k`` best of ``candidates`` (given best first) that survive.

        A few more than are missing are tried at a time, until every position has its ``k`` or no candidate is left.
        """
        rows: list[list[Swap]] = [[] for _ in self.encoded[0].positions]
        waiting: list[list[Candidate]] = [[] for _ in rows]
        for candidate in reversed(candidates):
            waiting[candidate[0]].append(candidate)  # the best is last, where pop takes it
        while True:
            trial = [
                queue.pop()
                for row, queue in zip(rows, waiting, strict=True)
                for _ in range(min(len(queue), _tries(k - len(row))))
            ]
            if not trial:
                return tuple(tuple(row[:k]) for row in rows)
            for (index, _, _), edit in self.survivors(trial).items():
                rows[index].append(edit)

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Swap, ...]:
        """``n`` different surviving edits, position and token uniform; fewer when six rounds do not yield them."""
        if not self.has_positions:
            return ()
        first, tokens = self.encoded[0], np.flatnonzero(self.vocabulary.allowed)
        found: dict[Candidate, Swap] = {}
        for _ in range(DRAWING_ROUNDS):
            missing = n - len(found)
            if missing <= 0:
                break
            where = rng.integers(len(first.positions), size=2 * missing)
            what = rng.choice(tokens, size=2 * missing)
            drawn = [(int(i), int(t), 0.0) for i, t in zip(where, what, strict=True)]
            fresh = dict.fromkeys(c for c in drawn if first.ids[first.positions[c[0]]] != c[1] and c not in found)
            found |= self.survivors(list(fresh))
        return tuple(list(found.values())[:n])


def _exchanged(encoded: Encoded, candidate: Candidate) -> tuple[int, ...]:
    at = encoded.positions[candidate[0]]
    return *encoded.ids[:at], candidate[1], *encoded.ids[at + 1 :]


def _tries(missing: int) -> int:
    return missing + missing // 2 + 4 if missing > 0 else 0


def lone_tokens(pipeline: Pipeline, vocabulary: Vocabulary) -> tuple[str, ...]:
    """Every allowed token that survives alone as a response, as text, in vocabulary order."""
    surfaces = [vocabulary.surfaces[i].strip(" ") for i in np.flatnonzero(vocabulary.allowed)]
    texts = list(dict.fromkeys(surfaces))
    alone: list[Encoded] = []
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        alone += pipeline.encode_all([Pair(NEUTRAL_PROMPT, text) for text in texts[start : start + TEXTS_AT_ONCE]])
    return tuple(text for text, one in zip(texts, alone, strict=True) if len(one.positions) == 1)
