"""From text to token ids: the part of an RM's identity that its weights do not hold.

Truncation, padding and special tokens are decided here and nowhere else. Every encoding also says where the response's
own tokens lie and which characters each covers, so that an edit of a token is an edit of the text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from corpus.records import Conversation, digest
from miner.errors import ModelError, TooLongError
from miner.rewards.base import Pair

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer
    from transformers import PreTrainedTokenizerFast

Truncation = Literal["error", "left", "right"]


@dataclass(frozen=True, slots=True)
class Encoded:
    """One tokenised pair. ``positions`` are the indices of the response's tokens, ``spans`` their characters in it."""

    ids: tuple[int, ...]
    type_ids: tuple[int, ...]
    positions: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Pipeline(ABC):
    """Tokenises pairs. ``max_length`` counts tokens, special ones included; None is without limit."""

    tokenizer: PreTrainedTokenizerFast
    max_length: int | None
    truncation: Truncation = "error"

    def __post_init__(self) -> None:
        self.backend.no_truncation()
        self.backend.no_padding()

    @property
    def backend(self) -> Tokenizer:
        return self.tokenizer.backend_tokenizer

    @property
    def hash(self) -> str:
        """Identity of everything between a string and the ids."""
        return digest([*self.identity(), self.max_length, self.truncation])

    @abstractmethod
    def identity(self) -> list[object]:
        """What makes this pipeline another one: its kind, template, joining of turns."""

    @abstractmethod
    def _encode(self, pairs: Sequence[Pair], *, offsets: bool) -> list[Encoding]: ...

    @abstractmethod
    def _locate(self, pair: Pair, encoding: Encoding) -> list[tuple[int, int, int]]:
        """(token index, start, end) per response token, characters counted from the response's start."""

    def ids(self, pairs: Sequence[Pair]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """(ids, token type ids) of each pair, truncated where that was asked for.

        Raises:
            TooLongError: over ``max_length`` with truncation "error".
        """
        encodings = self._encode(pairs, offsets=False)
        return [self._fit(tuple(e.ids), tuple(e.type_ids)) for e in encodings]

    def encode(self, pair: Pair) -> Encoded:
        """One pair with the whereabouts of its response's tokens; same errors as ``ids``."""
        encoding = self._encode([pair], offsets=True)[0]
        ids, type_ids = self._fit(tuple(encoding.ids), tuple(encoding.type_ids))
        where = [item for item in self._locate(pair, encoding) if item[0] < len(ids)]
        if len(ids) < len(encoding.ids) and self.truncation == "left":
            where = []  # the head is gone: positions no longer line up, so nothing is offered for editing
        return Encoded(ids, type_ids, tuple(i for i, _, _ in where), tuple((s, e) for _, s, e in where))

    def _fit(self, ids: tuple[int, ...], type_ids: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        if self.max_length is None or len(ids) <= self.max_length:
            return ids, type_ids
        if self.truncation == "error":
            raise TooLongError(
                f"input of {len(ids)} tokens is over the RM's maximum of {self.max_length}. "
                "Shorten it, or ask for --truncation left|right"
            )
        cut = slice(-self.max_length, None) if self.truncation == "left" else slice(None, self.max_length)
        return ids[cut], type_ids[cut]


@dataclass(frozen=True, kw_only=True)
class TextPairPipeline(Pipeline):
    """Encoders: (prompt, response) as a text pair. One user turn is its content; more are ``role: content`` lines."""

    def identity(self) -> list[object]:
        return ["text_pair"]

    def _encode(self, pairs: Sequence[Pair], *, offsets: bool) -> list[Encoding]:
        encode = self.backend.encode_batch if offsets else self.backend.encode_batch_fast
        return encode([(plain_prompt(pair.prompt), pair.response) for pair in pairs])

    def _locate(self, pair: Pair, encoding: Encoding) -> list[tuple[int, int, int]]:
        del pair
        return [
            (i, *encoding.offsets[i])
            for i, sequence in enumerate(encoding.sequence_ids)
            if sequence == 1 and encoding.offsets[i][0] < encoding.offsets[i][1]
        ]


@dataclass(frozen=True, kw_only=True)
class ChatPipeline(Pipeline):
    """Causal RMs: the tokenizer's chat template, or ``Human: … Assistant: …`` where it has none.

    A template writes its own special tokens, so none are added to its output: that is how BOS would double.
    """

    def identity(self) -> list[object]:
        return ["chat", self.tokenizer.chat_template or "human-assistant"]

    def render(self, pair: Pair) -> str:
        turns = [{"role": turn.role, "content": turn.content} for turn in pair.prompt]
        turns.append({"role": "assistant", "content": pair.response})
        if not self.tokenizer.chat_template:
            names = {"user": "Human", "assistant": "Assistant", "system": "System"}
            return "\n\n".join(f"{names.get(t['role'], t['role'])}: {t['content']}" for t in turns)
        return str(self.tokenizer.apply_chat_template(turns, tokenize=False))

    def _encode(self, pairs: Sequence[Pair], *, offsets: bool) -> list[Encoding]:
        encode = self.backend.encode_batch if offsets else self.backend.encode_batch_fast
        rendered = [self.render(pair) for pair in pairs]
        return encode(rendered, add_special_tokens=not self.tokenizer.chat_template)

    def _locate(self, pair: Pair, encoding: Encoding) -> list[tuple[int, int, int]]:
        text, response = self.render(pair), pair.response
        at = text.rfind(response)
        shift = 0
        if at < 0:  # templates that trim the turn
            shift = len(response) - len(response.lstrip())
            response = response.strip()
            at = text.rfind(response)
        if at < 0:
            raise ModelError("the chat template rewrites the response: its tokens cannot be found in the rendered text")
        found = []
        for i, (start, end) in enumerate(encoding.offsets):
            if at <= start < end <= at + len(response):
                found.append((i, start - at + shift, end - at + shift))
        return found


def plain_prompt(prompt: Conversation) -> str:
    if len(prompt) == 1:
        return prompt[0].content
    return "\n".join(f"{turn.role}: {turn.content}" for turn in prompt)
