"""Which tokens an attack may use: printable, not special, and written as the characters they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from miner.checkpoints.tokenizers import special_tokens
from miner.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Spelling = Literal["byte_level", "metaspace", "wordpiece"]
CARRIERS = ("", "a", "1", ".", " ")  # a token that no text can give comes out after none of these


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The filter over a tokenizer's vocabulary.

    ``surfaces[i]`` is the text token ``i`` contributes (with its leading space where the token carries one);
    ``allowed`` and ``whole_words`` are masks of shape (vocabulary,).
    """

    surfaces: tuple[str, ...]
    allowed: npt.NDArray[np.bool_]
    whole_words: npt.NDArray[np.bool_]
    tokens_carry_spaces: bool

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast, size: int, *, ascii_only: bool) -> Vocabulary:
        """Filter a vocabulary; ``size`` is the number of embedding rows, which can exceed the tokenizer's.

        Raises:
            ModelError: nothing is left.
        """
        pieces = _pieces(tokenizer, size)
        spelling = _spelling(tokenizer, pieces)
        surfaces = _surfaces(pieces, spelling)
        barred = set(special_tokens(tokenizer).values())
        usable = np.array([i not in barred and _usable(s, ascii_only) for i, s in enumerate(surfaces)])
        allowed = _reachable(tokenizer, surfaces, usable)
        if not allowed.any():
            raise ModelError("the vocabulary filter leaves no token. Try without --ascii, or check the tokenizer")
        words = np.array([_whole_word(p, s, spelling) for p, s in zip(pieces, surfaces, strict=True)]) & allowed
        return cls(tuple(surfaces), allowed, words if words.any() else allowed, spelling != "wordpiece")

    def draw_words(self, n: int, rng: np.random.Generator) -> tuple[str, ...]:
        """``n`` whole words, uniformly."""
        picks = rng.choice(np.flatnonzero(self.whole_words), size=n)
        return tuple(self.surfaces[i].strip(" ") for i in picks)


def _pieces(tokenizer: PreTrainedTokenizerFast, size: int) -> list[str]:
    """The vocabulary's entries as the tokenizer writes them; empty where an embedding row has none."""
    known = {i: piece for piece, i in tokenizer.get_vocab().items()}
    return [known.get(i, "") for i in range(size)]


def _spelling(tokenizer: PreTrainedTokenizerFast, pieces: list[str]) -> Spelling:
    """From the tokenizer's parts: a multilingual vocabulary holds "Ġ" and "▁" as letters of their own, too."""
    backend = tokenizer.backend_tokenizer
    if type(backend.model).__name__ == "WordPiece":
        return "wordpiece"
    parts = (part.__getstate__() for part in (backend.decoder, backend.pre_tokenizer) if part is not None)
    if any(b'"ByteLevel"' in state for state in parts):
        return "byte_level"
    return "metaspace" if any(piece.startswith("▁") for piece in pieces) else "wordpiece"


def _surfaces(pieces: list[str], spelling: Spelling) -> list[str]:
    if spelling == "byte_level":
        from tokenizers import decoders

        decoder = decoders.ByteLevel()
        return [decoder.decode([piece]) for piece in pieces]
    if spelling == "metaspace":
        return [piece.replace("▁", " ") for piece in pieces]
    return [piece.removeprefix("##") for piece in pieces]


def _usable(surface: str, ascii_only: bool) -> bool:
    text = surface.strip(" ")
    return bool(text) and text.isprintable() and "\ufffd" not in text and (text.isascii() or not ascii_only)


def _reachable(
    tokenizer: PreTrainedTokenizerFast, surfaces: list[str], usable: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Of the usable tokens those that some text gives: "[unused7]", "<0x41>" and an uncased model's capitals do not.

    A text is the token's surface after a short carrier; contexts that need a longer one are given up.
    """
    reachable = np.zeros_like(usable)
    for carrier in CARRIERS:
        left = [int(i) for i in np.flatnonzero(usable & ~reachable)]
        texts = [carrier + surfaces[i] for i in left]
        encodings = tokenizer.backend_tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        reachable[[i for i, encoding in zip(left, encodings, strict=True) if encoding.ids[-1:] == [i]]] = True
    return reachable


def _whole_word(piece: str, surface: str, spelling: Spelling) -> bool:
    starts = not piece.startswith("##") if spelling == "wordpiece" else surface.startswith(" ")
    word = surface.strip(" ")
    return starts and len(word) > 1 and word.isalpha()
