"""What edits and random words are made of where an RM shows no vocabulary of its own.

A tokenizer's folder gives the edits that a local RM with that tokenizer has. Without one, the words of the campaign's
own prompts and good answers are exchanged whole.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from attacks.queries import Swap
from corpus.records import digest
from miner.errors import ConfigError
from miner.rewards.base import Pair
from miner.rewards.text.pipeline import ChatPipeline, Pipeline, TextPairPipeline
from miner.rewards.text.swaps import EditableText, lone_tokens
from miner.rewards.text.vocabulary import Vocabulary

MIN_WORDS = 32
CHARACTERS_PER_TOKEN = 4  # of English, roughly; where nothing counts tokens


class EditableWords(ABC):
    """The texts that edits put in."""

    special_tokens: tuple[str, ...] = ()

    @property
    @abstractmethod
    def identity(self) -> str:
        """Identity of everything that decides which edits are drawn."""

    @abstractmethod
    def random_swaps(self, pair: Pair, n: int, rng: np.random.Generator) -> tuple[Swap, ...]:
        """As ``RewardModel.random_swaps``."""

    @abstractmethod
    def draw(self, n: int, rng: np.random.Generator) -> tuple[str, ...]:
        """As ``RewardModel.words``."""

    @abstractmethod
    def all_tokens(self) -> tuple[str, ...]:
        """As ``RewardModel.all_tokens``."""

    @abstractmethod
    def n_tokens(self, pair: Pair) -> int:
        """Tokens of the whole input, as far as that can be told here."""


@dataclass(frozen=True, eq=False)
class WordEdits(EditableWords):
    """Whole words, exchanged whole. Token counts are estimates."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, texts: Iterable[str], *, ascii_only: bool) -> WordEdits:
        """The words of ``texts``, of two letters or more.

        Raises:
            ConfigError: there are too few.
        """
        found = {word for text in texts for word in re.findall(r"[^\W\d_]{2,}", text)}
        usable = sorted(word for word in found if word.isascii() or not ascii_only)
        if len(usable) < MIN_WORDS:
            raise ConfigError(
                f"{len(usable)} words in the data's prompts and good answers are too few to make edits of. Give the "
                "served RM's tokenizer, or any other: --set rm.remote.tokenizer=FOLDER"
            )
        return cls(tuple(usable))

    @property
    def identity(self) -> str:
        return digest(["words", *self.words])

    def random_swaps(self, pair: Pair, n: int, rng: np.random.Generator) -> tuple[Swap, ...]:
        places = [match.span() for match in re.finditer(r"\S+", pair.response)]
        if not places:
            return ()
        n = min(n, len(places) * (len(self.words) - 1))
        found: dict[Swap, None] = {}
        while len(found) < n:
            start, end = places[int(rng.integers(len(places)))]
            word = self.words[int(rng.integers(len(self.words)))]
            if word != pair.response[start:end]:
                found[Swap(start, end, word)] = None
        return tuple(found)

    def draw(self, n: int, rng: np.random.Generator) -> tuple[str, ...]:
        return tuple(self.words[i] for i in rng.integers(len(self.words), size=n))

    def all_tokens(self) -> tuple[str, ...]:
        return self.words

    def n_tokens(self, pair: Pair) -> int:
        turns = (*(turn.content for turn in pair.prompt), pair.response)
        return sum(len(text) // CHARACTERS_PER_TOKEN + 1 for text in turns)


@dataclass(frozen=True, eq=False)
class TokenEdits(EditableWords):
    """Single tokens of a tokenizer that is at hand, exchanged where the edit survives it. Token counts are its own."""

    pipeline: Pipeline
    vocabulary: Vocabulary
    special_tokens: tuple[str, ...] = field(kw_only=True)

    @classmethod
    def load(cls, folder: str, *, ascii_only: bool) -> TokenEdits:
        """From a folder, or a hub id. Errors as ``miner.checkpoints.tokenizers.load_tokenizer``."""
        from miner.checkpoints.folders import resolve_folder
        from miner.checkpoints.tokenizers import load_tokenizer, special_tokens

        tokenizer = load_tokenizer(resolve_folder(folder, None))
        encoder = tokenizer.sep_token is not None and not tokenizer.chat_template
        pipeline = (TextPairPipeline if encoder else ChatPipeline)(tokenizer=tokenizer, max_length=None)
        vocabulary = Vocabulary.of(tokenizer, len(tokenizer), ascii_only=ascii_only)
        return cls(pipeline, vocabulary, special_tokens=tuple(special_tokens(tokenizer)))

    @cached_property
    def identity(self) -> str:
        allowed = np.flatnonzero(self.vocabulary.allowed)
        return digest(["tokens", self.pipeline.hash, [self.vocabulary.surfaces[i] for i in allowed]])

    def random_swaps(self, pair: Pair, n: int, rng: np.random.Generator) -> tuple[Swap, ...]:
        return EditableText.of(self.pipeline, self.vocabulary, [pair.prompt], pair.response).draw(n, rng)

    def draw(self, n: int, rng: np.random.Generator) -> tuple[str, ...]:
        return self.vocabulary.draw_words(n, rng)

    @cached_property
    def _lone_tokens(self) -> tuple[str, ...]:
        return lone_tokens(self.pipeline, self.vocabulary)

    def all_tokens(self) -> tuple[str, ...]:
        return self._lone_tokens

    def n_tokens(self, pair: Pair) -> int:
        return len(self.pipeline.ids([pair])[0][0])
