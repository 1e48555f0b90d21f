"""Which tokens an attack may use: printable, not special, not added, and written as the characters they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from miner.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


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
        pieces = tokenizer.convert_ids_to_tokens(list(range(min(size, len(tokenizer)))))
        byte_level = any(piece.startswith("Ġ") for piece in pieces if piece)
        metaspace = not byte_level and any(piece.startswith("▁") for piece in pieces if piece)
        surfaces = _surfaces(pieces, byte_level=byte_level)
        surfaces += [""] * (size - len(surfaces))
        barred = set(tokenizer.all_special_ids) | set(tokenizer.get_added_vocab().values())
        allowed = np.array([i not in barred and _usable(s, ascii_only) for i, s in enumerate(surfaces)])
        if not allowed.any():
            raise ModelError("the vocabulary filter leaves no token. Try without --ascii, or check the tokenizer")
        spaced = byte_level or metaspace
        whole = np.array(
            [
                bool(ok) and s.strip().isalpha() and len(s.strip()) > 1 and _starts_word(piece, s, spaced=spaced)
                for ok, s, piece in zip(allowed, surfaces, [*pieces, *[""] * (size - len(pieces))], strict=True)
            ]
        )
        return cls(tuple(surfaces), allowed, whole if whole.any() else allowed, spaced)


def _surfaces(pieces: list[str], *, byte_level: bool) -> list[str]:
    if byte_level:
        from tokenizers import decoders

        decoder = decoders.ByteLevel()
        return [decoder.decode([piece]) for piece in pieces]
    return [piece.removeprefix("##").replace("▁", " ") for piece in pieces]


def _usable(surface: str, ascii_only: bool) -> bool:
    text = surface.strip(" ")
    return bool(text) and text.isprintable() and "�" not in text and (text.isascii() or not ascii_only)


def _starts_word(piece: str, surface: str, *, spaced: bool) -> bool:
    return surface.startswith(" ") if spaced else not piece.startswith("##")
