"""RMs that read a response inside a text made for them: a judge's question, two answers side by side, steps with tags.

The text is a frame (what stands before and after) with the response set down in it, so every token of the response has
its place in the response. A response may be set down in pieces, with something of the RM's own between them.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from corpus.records import Conversation, Message
from miner.checkpoints.chat_templates import render_chat
from miner.errors import ModelError, TooLongError
from miner.rewards.base import Pair
from miner.rewards.text.pipeline import FRAMES_KEPT, PLACEHOLDER, Pipeline, Text, plain_prompt

if TYPE_CHECKING:
    from tokenizers import Encoding

RIVAL_FIRST, RIVAL_SECOND = "rival, shown first", "rival, shown second"
SLOT = re.compile(r"\{(prompt|response|a|b)\}")
PROBE = Pair((Message(role="user", content="What is it?"),), "It is good.")  # any text, for what holds on all
Piece = tuple[str, int | None]  # text, and where in the response it starts (None: it is not the response's)


@dataclass(frozen=True, kw_only=True)
class FramedPipeline(Pipeline):
    """``adds_special``: whether the tokenizer adds its special tokens to the text."""

    adds_special: bool
    _frames: dict[Conversation, tuple[str, str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @abstractmethod
    def _text(self, prompt: Conversation, response: str) -> str:
        """The whole text with ``response`` in its place."""

    def pieces(self, response: str) -> list[Piece]:
        """What is set down in the frame."""
        return [(response, 0)]

    def render(self, pair: Pair) -> str:
        """The text that is tokenised.

        Raises:
            ModelError: the chat template refuses the conversation, or leaves the response out.
        """
        head, tail = self._frame(pair.prompt)
        return head + "".join(text for text, _ in self.pieces(pair.response)) + tail

    def _frame(self, prompt: Conversation) -> tuple[str, str]:
        if prompt not in self._frames:
            if len(self._frames) >= FRAMES_KEPT:
                self._frames.clear()
            head, found, tail = self._text(prompt, PLACEHOLDER).rpartition(PLACEHOLDER)
            if not found:
                raise ModelError("the RM's chat template leaves the response out. Give a template in the [rm] table")
            self._frames[prompt] = (head, tail)
        return self._frames[prompt]

    def _check_lengths(self, encodings: Sequence[Encoding]) -> None:
        longest = max((len(encoding.ids) for encoding in encodings), default=0)
        if self.max_length is not None and longest > self.max_length:
            raise TooLongError(
                f"input of {longest} tokens, with all that the RM is asked, is over its maximum of {self.max_length}. "
                "Mine on shorter prompts, or give --set rm.max_length=N where the model takes more"
            )

    def _inputs(self, pairs: Sequence[Pair]) -> tuple[Sequence[Text], bool]:
        return [self.render(pair) for pair in pairs], self.adds_special

    def _locate(self, pair: Pair, encoding: Encoding) -> list[tuple[int, int, int]]:
        text, at = self.render(pair), len(self._frame(pair.prompt)[0])
        found = []
        for piece, begins in self.pieces(pair.response):
            if begins is not None:
                found += [
                    (i, begins + max(start, at) - at, begins + end - at)
                    for i, (start, end) in enumerate(encoding.offsets)
                    if start < end and at < end <= at + len(piece) and not text[start:at].strip(" ")
                ]
            at += len(piece)
        return found


@dataclass(frozen=True, kw_only=True)
class QuestionPipeline(FramedPipeline):
    """A template with slots, as plain text or (``chat``) as the user's turn, with the answer's turn begun."""

    template: str
    chat: bool

    def identity(self) -> list[object]:
        return [type(self).__name__, self.template, self.tokenizer.chat_template if self.chat else self.adds_special]

    def _text(self, prompt: Conversation, response: str) -> str:
        text = filled(self.template, self._slots(prompt, response))
        return chat_text(self, [Message(role="user", content=text)], begin_answer=True) if self.chat else text

    def _slots(self, prompt: Conversation, response: str) -> Mapping[str, str]:
        return {"prompt": plain_prompt(prompt), "response": response}


@dataclass(frozen=True, kw_only=True)
class ComparisonPipeline(QuestionPipeline):
    """Two answers in a template. The other answer is the conversation's last turn, whose role says where it is shown;
    without such a turn the response is shown first, beside an empty answer."""

    def _slots(self, prompt: Conversation, response: str) -> Mapping[str, str]:
        if prompt[-1].role not in (RIVAL_FIRST, RIVAL_SECOND):
            return {"prompt": plain_prompt(prompt), "a": response, "b": ""}
        asked, rival = plain_prompt(prompt[:-1]), prompt[-1].content
        first, second = (rival, response) if prompt[-1].role == RIVAL_FIRST else (response, rival)
        return {"prompt": asked, "a": first, "b": second}


@dataclass(frozen=True, kw_only=True)
class StepsPipeline(FramedPipeline):
    """A response cut into steps, each with a tag behind it, in a template or as the chat template's last turn."""

    template: str | None
    split: str
    tag: str

    def identity(self) -> list[object]:
        return ["steps", self.template or self.tokenizer.chat_template, self.split, self.tag, self.adds_special]

    def pieces(self, response: str) -> list[Piece]:
        found: list[Piece] = []
        at = 0
        for step in response.split(self.split):
            if step.strip():
                found += [(step, at), (self.tag, None)]
            at += len(step) + len(self.split)
        return found or [(response, 0), (self.tag, None)]

    def _text(self, prompt: Conversation, response: str) -> str:
        if self.template is not None:
            return filled(self.template, {"prompt": plain_prompt(prompt), "response": response})
        return chat_text(self, [*prompt, Message(role="assistant", content=response)], begin_answer=False)


def filled(template: str, slots: Mapping[str, str]) -> str:
    """The template with every slot filled at once: what stands in an answer is never taken for a slot."""
    return SLOT.sub(lambda found: slots.get(found[1], found[0]), template)


def chat_text(pipeline: Pipeline, turns: Sequence[Message], *, begin_answer: bool) -> str:
    """The turns as the tokenizer's chat template writes them.

    Raises:
        ModelError: it refuses them.
    """
    try:
        return render_chat(pipeline.tokenizer, turns, begin_answer=begin_answer, today=pipeline.today)
    except ModelError as error:
        raise ModelError(f"the RM's {error}. Give a template in the [rm] table") from error
