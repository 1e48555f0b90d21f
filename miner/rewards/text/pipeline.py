"""From text to token ids: the part of an RM's identity that its weights do not hold.

Truncation, padding and special tokens are decided here and nowhere else. Every encoding also says where the response's
own tokens lie and which characters each covers, so that an edit of a token is an edit of the text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Literal

from corpus.records import Conversation, Message, digest
from miner.checkpoints.chat_templates import ASKS_FOR_DATE, render_chat
from miner.config.reward_model import PINNED_DATE
from miner.errors import ModelError, TooLongError
from miner.rewards.base import Pair

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer
    from transformers import PreTrainedTokenizerFast

Truncation = Literal["error", "left", "right"]
Row = tuple[tuple[int, ...], tuple[int, ...]]  # token ids, token type ids
Text = str | tuple[str, str]  # what the tokenizer is given: a text, or a pair of them
MARKUP = frozenset("<>[]{}|\\`#*")  # a response without these is plain text to any template that we know
FRAMES_KEPT = 4096
PLACEHOLDER = "\ue000"  # private use: no template rewrites it, no text holds it

_ASKED = Message(role="user", content="What is 12 + 345?  Ünïcode, naïve café, 日本語 🙂\n\tdon't <s> </s> [SEP]")
_SAID = Message(role="assistant", content="It’s 357.")
PROBES = (  # conversations in which tokenizers and templates differ where they differ at all
    Pair((_ASKED,), "  357, I'd say: 12+345 = 357 ½ 🙂.\n\n\tThe end  "),
    Pair((Message(role="system", content="Be brief."), _ASKED), "357"),
    Pair((_ASKED, _SAID, Message(role="user", content="Why?")), "Because."),
    Pair((Message(role="user", content="Hello"),), ""),
)


@dataclass(frozen=True, slots=True)
class Encoded:
    """One tokenised pair. ``positions`` are the indices of the response's tokens, ``spans`` their characters in it."""

    ids: tuple[int, ...]
    type_ids: tuple[int, ...]
    positions: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]

    @property
    def row(self) -> Row:
        return self.ids, self.type_ids


@dataclass(frozen=True, kw_only=True)
class Pipeline(ABC):
    """Tokenises pairs. ``max_length`` counts tokens, special ones included; None is without limit.

    ``truncation`` "left" and "right" are what transformers does with ``truncation=True`` and that ``truncation_side``.
    ``append`` is a token id that ends every text, as some heads read their reward at one; it is not put there twice.
    ``today`` is what a chat template that asks for the date is told.
    """

    tokenizer: PreTrainedTokenizerFast
    max_length: int | None
    truncation: Truncation = "error"
    append: int | None = None
    today: date = PINNED_DATE

    def __post_init__(self) -> None:
        self.backend.no_truncation()
        self.backend.no_padding()

    @property
    def backend(self) -> Tokenizer:
        return self.tokenizer.backend_tokenizer

    @property
    def hash(self) -> str:
        """Identity of everything between a string and the ids.

        What stands in no setting (libraries that read one file differently, a template that looks about) shows in the
        probes, whose text and ids are part of it; versions are not, so that an update that changes no id voids nothing.
        """
        appended = [] if self.append is None else ["append", self.append]
        asks = ASKS_FOR_DATE in str(self.tokenizer.chat_template)
        dated = ["today", self.today.isoformat()] if asks else []
        probed = [self._probed(pair) for pair in PROBES]
        return digest([*self.identity(), self.max_length, self.truncation, *appended, *dated, probed])

    def _probed(self, pair: Pair) -> list[object]:
        try:
            (text,), special = self._inputs([pair])
        except ModelError:
            return ["refused"]
        return [text, self.backend.encode_batch_fast([text], add_special_tokens=special)[0].ids]

    @abstractmethod
    def identity(self) -> list[object]:
        """What makes this pipeline another one: its kind, template, joining of turns."""

    @abstractmethod
    def _inputs(self, pairs: Sequence[Pair]) -> tuple[Sequence[Text], bool]:
        """What the tokenizer is given, and whether it adds special tokens to it."""

    @abstractmethod
    def _locate(self, pair: Pair, encoding: Encoding) -> list[tuple[int, int, int]]:
        """(token index, start, end) per response token, characters counted from the response's start."""

    def ids(self, pairs: Sequence[Pair]) -> list[Row]:
        """Each pair as token ids and token type ids, truncated where that was asked for.

        Raises:
            TooLongError: over ``max_length`` with truncation "error".
        """
        return [self._row(encoding) for encoding in self._encode(pairs, offsets=False)]

    def encode(self, pair: Pair) -> Encoded:
        """One pair with the whereabouts of its response's tokens; same errors as ``ids``."""
        return self.encode_all([pair])[0]

    def encode_all(self, pairs: Sequence[Pair]) -> list[Encoded]:
        """``encode`` of many pairs at once."""
        found = []
        for pair, encoding in zip(pairs, self._encode(pairs, offsets=True), strict=True):
            where = self._locate(pair, encoding)
            spans = tuple((start, end) for _, start, end in where)
            found.append(Encoded(*self._row(encoding), tuple(i for i, _, _ in where), spans))
        return found

    def _row(self, encoding: Encoding) -> Row:
        ids, types = tuple(encoding.ids), tuple(encoding.type_ids)
        if self.append is None or ids[-1:] == (self.append,):
            return ids, types
        return (*ids, self.append), (*types, types[-1] if types else 0)

    def _encode(self, pairs: Sequence[Pair], *, offsets: bool) -> list[Encoding]:
        backend = self.backend
        encode = backend.encode_batch if offsets else backend.encode_batch_fast
        inputs, special = self._inputs(pairs)
        if self.truncation == "error" or self.max_length is None:
            encodings = encode(inputs, add_special_tokens=special)
            self._check_lengths(encodings)
            return encodings
        room = self.max_length - (self.append is not None)
        backend.enable_truncation(room, strategy="longest_first", direction=self.truncation)
        try:
            return encode(inputs, add_special_tokens=special)
        finally:
            backend.no_truncation()  # or a copy of this tokenizer that is saved would truncate silently

    def _check_lengths(self, encodings: Sequence[Encoding]) -> None:
        longest = max((len(self._row(encoding)[0]) for encoding in encodings), default=0)
        if self.max_length is not None and longest > self.max_length:
            raise TooLongError(
                f"input of {longest} tokens is over the RM's maximum of {self.max_length}. "
                "Give shorter texts, or cut them: --set rm.truncation=left|right"
            )


@dataclass(frozen=True, kw_only=True)
class TextPairPipeline(Pipeline):
    """Encoders: (prompt, response) as a text pair. One turn is its content; more are ``role: content`` lines."""

    def identity(self) -> list[object]:
        return ["text_pair"]

    def _inputs(self, pairs: Sequence[Pair]) -> tuple[Sequence[Text], bool]:
        both = [(plain_prompt(pair.prompt), pair.response) for pair in pairs]
        return [pair if pair[1] else pair[0] for pair in both], True  # an empty second text is none to transformers

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

    A template writes its own special tokens, so none are added to its output: that is how BOS would double. It is run
    once per conversation where it sets responses down as they are, and for every response that might be markup to it.
    """

    _frames: dict[Conversation, tuple[str, str] | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def identity(self) -> list[object]:
        return ["chat", self.tokenizer.chat_template or "human-assistant"]

    def render(self, pair: Pair) -> str:
        """The text that is tokenised.

        Raises:
            ModelError: the template refuses the conversation.
        """
        turns = [*pair.prompt, Message(role="assistant", content=pair.response)]
        if not self.tokenizer.chat_template:
            names = {"user": "Human", "assistant": "Assistant", "system": "System"}
            return "\n\n".join(f"{names.get(turn.role, turn.role)}: {turn.content}" for turn in turns)
        try:
            return render_chat(self.tokenizer, turns, today=self.today)
        except ModelError as error:
            raise ModelError(f"the RM's {error}. Mine on prompts it takes") from error

    def _inputs(self, pairs: Sequence[Pair]) -> tuple[Sequence[Text], bool]:
        special = not self.tokenizer.chat_template
        if len(pairs) == 1:  # what confirms a finding trusts no frame
            return [self.render(pairs[0])], special
        return [self._framed(pair) for pair in pairs], special

    def _framed(self, pair: Pair) -> str:
        """``render``, from the conversation's frame where that is known to give the same."""
        stripped = pair.response != pair.response.strip()  # by some templates, each in its way
        if stripped or not MARKUP.isdisjoint(pair.response):
            return self.render(pair)
        if pair.prompt not in self._frames:
            if len(self._frames) >= FRAMES_KEPT:
                self._frames.clear()
            self._frames[pair.prompt] = self._frame(pair.prompt)
        frame = self._frames[pair.prompt]
        return self.render(pair) if frame is None else f"{frame[0]}{pair.response}{frame[1]}"

    def _frame(self, prompt: Conversation) -> tuple[str, str] | None:
        """What stands before and after a response; None where the template does more than set it down."""
        head, found, tail = self.render(Pair(prompt, PLACEHOLDER)).rpartition(PLACEHOLDER)
        probes = (f"{PLACEHOLDER}  a\n \n{PLACEHOLDER}", f"{PLACEHOLDER} a. B", "a")
        verbatim = all(self.render(Pair(prompt, probe)) == f"{head}{probe}{tail}" for probe in probes)
        return (head, tail) if found and verbatim else None

    def _locate(self, pair: Pair, encoding: Encoding) -> list[tuple[int, int, int]]:
        text, at, shift, length = self._whereabouts(pair)
        return [
            (i, max(start, at) - at + shift, end - at + shift)
            for i, (start, end) in enumerate(encoding.offsets)
            if start < end and at < end <= at + length and not text[start:at].strip(" ")  # a template's space may join
        ]

    def _whereabouts(self, pair: Pair) -> tuple[str, int, int, int]:
        """The rendered text, the response's start in it, the characters trimmed off its head, the length left."""
        text, (head, _, tail) = self.render(pair), self.render(Pair(pair.prompt, PLACEHOLDER)).rpartition(PLACEHOLDER)
        if text.startswith(head) and text.endswith(tail):
            written = text[len(head) : len(text) - len(tail)]
            shift = pair.response.find(written)  # templates may trim the turn
            if shift >= 0:
                return text, len(head), shift, len(written)
        return text, *_behind_block(text.removesuffix(tail), pair.response)


def _behind_block(text: str, response: str) -> tuple[int, int, int]:
    """Where in ``text`` the end of the response lies that its template leaves as it is, behind a block that it
    rewrites (Qwen3's ``<think>``): start, characters of the response before it, length.

    Raises:
        ModelError: it leaves no word as it is.
    """
    kept = response if text.endswith(response[-1:]) else response.rstrip()
    length = 0
    while length < min(len(kept), len(text)) and kept[-1 - length] == text[-1 - length]:
        length += 1
    if not any(char.isalpha() for char in kept[len(kept) - length :]):
        raise ModelError(
            "the RM's chat template rewrites this response, so its tokens cannot be found in the rendered text. "
            "Try an attack that edits no tokens"
        )
    return len(text) - length, len(kept) - length, length


def plain_prompt(prompt: Conversation) -> str:
    if len(prompt) == 1:
        return prompt[0].content
    return "\n".join(f"{turn.role}: {turn.content}" for turn in prompt)
