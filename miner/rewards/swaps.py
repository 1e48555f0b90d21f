"""Single-token replacements as edits of text: proposed by gradient or by chance, kept only if they survive.

A replacement survives when the edited *string*, encoded again in its place in the pipeline, gives exactly the old ids
with that one id exchanged. Everything else (merges across the edit, a normaliser's rewriting) is dropped here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from attacks.queries import Swap, SwapTable
from miner.rewards.base import Pair
from miner.rewards.pipeline import Encoded, Pipeline
from miner.rewards.vocabulary import Vocabulary

Candidate = tuple[int, int, float]  # (index into Encoded.positions, token id, predicted gain)


def edit_of(encoded: Encoded, response: str, vocabulary: Vocabulary, index: int, token: int, gain: float) -> Swap:
    """Token ``token`` in place of the response's ``index``-th, as a character edit."""
    start, end = encoded.spans[index]
    if vocabulary.tokens_carry_spaces:
        while start > 0 and response[start - 1] == " ":  # offsets leave out the space the token carries
            start -= 1
        while start < end - 1 and response[start : start + 2] == "  ":
            start += 1
    return Swap(start, end, vocabulary.surfaces[token], gain)


def surviving(
    pipeline: Pipeline, pair: Pair, encoded: Encoded, vocabulary: Vocabulary, candidates: Sequence[Candidate]
) -> list[tuple[int, Swap]]:
    """(position index, edit) of the candidates that survive, in the order given."""
    edits = [edit_of(encoded, pair.response, vocabulary, i, token, gain) for i, token, gain in candidates]
    if not edits:
        return []
    again = pipeline.ids([Pair(pair.prompt, edit.apply(pair.response)) for edit in edits])
    kept = []
    for (index, token, _), edit, (ids, _types) in zip(candidates, edits, again, strict=True):
        at = encoded.positions[index]
        if len(ids) == len(encoded.ids) and ids[at] == token and ids[:at] == encoded.ids[:at]:
            if ids[at + 1 :] == encoded.ids[at + 1 :]:
                kept.append((index, edit))
    return kept


def best_by_gain(
    gains: npt.NDArray[np.float32], encoded: Encoded, allowed: npt.NDArray[np.bool_], n_per_position: int
) -> list[Candidate]:
    """The highest of ``gains`` (n_positions, vocabulary) per position, the token that is there now left out."""
    masked = np.where(allowed, gains, -np.inf)
    masked[np.arange(len(masked)), [encoded.ids[i] for i in encoded.positions]] = -np.inf
    n = min(n_per_position, int(allowed.sum()) - 1)
    if n < 1:
        return []
    top = np.argpartition(-masked, n - 1, axis=1)[:, :n]
    rows = []
    for index, tokens in enumerate(top):
        ordered = tokens[np.argsort(-masked[index, tokens])]
        rows += [(index, int(t), float(masked[index, t])) for t in ordered if np.isfinite(masked[index, t])]
    return rows


def as_table(n_positions: int, kept: Sequence[tuple[int, Swap]], k: int) -> SwapTable:
    rows: list[list[Swap]] = [[] for _ in range(n_positions)]
    for index, edit in kept:
        if len(rows[index]) < k:
            rows[index].append(edit)
    return tuple(tuple(row) for row in rows)


def draw(
    pipeline: Pipeline, pair: Pair, vocabulary: Vocabulary, n: int, rng: np.random.Generator
) -> tuple[Swap, ...]:
    """``n`` surviving replacements, position and token uniform; fewer when four rounds of drawing do not yield them."""
    encoded = pipeline.encode(pair)
    if not encoded.positions:
        return ()
    tokens = np.flatnonzero(vocabulary.allowed)
    found: list[Swap] = []
    for _ in range(4):
        missing = n - len(found)
        if missing <= 0:
            break
        where = rng.integers(len(encoded.positions), size=2 * missing)
        what = rng.choice(tokens, size=2 * missing)
        drawn = [(int(i), int(t), 0.0) for i, t in zip(where, what, strict=True)]
        drawn = [c for c in drawn if encoded.ids[encoded.positions[c[0]]] != c[1]]
        found += [edit for _, edit in surviving(pipeline, pair, encoded, vocabulary, drawn)]
    return tuple(found[:n])
