"""The kinds of server that can be asked for rewards: what is sent, and how the answer is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from corpus.records import Conversation, digest
from miner.errors import ModelError, RemoteError, TooLongError
from miner.rewards.base import Pair
from miner.rewards.remote.answers import BadAnswerError, excerpt, member, number, numbers, too_long
from miner.rewards.remote.http import RESUME, HttpClient, Reply
from miner.rewards.remote.judge import JudgeClient
from miner.rewards.remote.words import EditableWords, TokenEdits
from miner.rewards.text.pipeline import ChatPipeline

Precision = Literal["ranking", "exact", "alone"]
LENGTHS_KEPT = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The RM behind an address, as far as the server says; where it says nothing, the fingerprint is of its name."""

    name: str
    fingerprint: str
    pipeline_hash: str
    reward_dtype: str = "unknown"
    ranking_dtype: str = "unknown"
    special_tokens: tuple[str, ...] = ()
    flops_per_token: float = 0.0
    is_relative: bool = False


class Endpoint(ABC):
    """One kind of server. ``texts_per_request`` is the most that one request takes."""

    client: HttpClient
    texts_per_request: int

    @abstractmethod
    def served(self) -> Served:
        """Which RM answers.

        Raises:
            RemoteError: none, or none that can be asked this way.
        """

    @abstractmethod
    def score(self, pairs: Sequence[Pair], precision: Precision) -> list[float | None]:
        """Rewards of at most ``texts_per_request`` pairs; None for a text that the server takes but gives no score.

        Raises:
            TooLongError, ModelError: as ``RewardModel.rewards``.
            OutageError, RemoteError, BudgetExceededError: as ``HttpClient.post``.
        """

    @abstractmethod
    def lengths(self, pairs: Sequence[Pair]) -> list[int]:
        """Tokens of each pair: counted where they are, estimated where nothing counts them.

        Raises:
            TooLongError: one is known to be over the served RM's maximum length.
        """


@dataclass(kw_only=True, eq=False)
class ScoresEndpoint(Endpoint):
    """``rmminer serve``: ``POST /v1/scores``, ``POST /v1/lengths``, ``GET /info``. Every answer names the RM."""

    client: HttpClient
    texts_per_request: int
    _fingerprint: str | None = field(default=None, init=False)
    _lengths: dict[Pair, int | None] = field(default_factory=dict, init=False)  # None: over the maximum

    def served(self) -> Served:
        found = self.client.get("/info", _served)
        self._fingerprint = found.fingerprint
        return found

    def score(self, pairs: Sequence[Pair], precision: Precision) -> list[float | None]:
        def read(answer: Any) -> list[float | None]:
            self._require_same(answer)
            self._learn(pairs, member(answer, "n_tokens", list))
            return list(numbers(member(answer, "rewards", list), len(pairs)))

        def refused(reply: Reply) -> Exception | None:
            error = _error_of(reply)
            if error.get("code") == "too_long" and isinstance(error.get("n_tokens"), list):
                self._learn(pairs, error["n_tokens"])
            return _own_error(error)

        payload = {"precision": precision, "items": [_item(pair) for pair in pairs]}
        return self.client.post("/v1/scores", payload, read, tokens=_estimated(pairs), refused=refused)

    def lengths(self, pairs: Sequence[Pair]) -> list[int]:
        learnt = {
            pair: self._lengths[pair] for pair in pairs if pair in self._lengths
        }  # the cache may be cleared below
        unknown = list(dict.fromkeys(pair for pair in pairs if pair not in learnt))
        for start in range(0, len(unknown), self.texts_per_request):
            part = unknown[start : start + self.texts_per_request]
            payload = {"items": [_item(pair) for pair in part]}
            found = self.client.post(
                "/v1/lengths", payload, self._read_lengths, refused=lambda reply: _own_error(_error_of(reply))
            )
            self._learn(part, found)
            learnt.update(zip(part, found, strict=True))
        known = [learnt[pair] for pair in pairs]
        lengths = [length for length in known if length is not None]
        if len(lengths) < len(known):
            raise TooLongError(
                "an input is over the served RM's maximum length. "
                "Give shorter texts, or serve it with --set rm.truncation=left|right"
            )
        return lengths

    def _read_lengths(self, answer: Any) -> list[Any]:
        self._require_same(answer)
        found: list[Any] = member(answer, "n_tokens", list)
        return found

    def _require_same(self, answer: Any) -> None:
        """No reward of another RM may join this campaign's."""
        now = member(answer, "fingerprint", str)
        if now != self._fingerprint:
            raise RemoteError(
                f"{self.client.root} now serves another RM ({now[:12]}, it was {str(self._fingerprint)[:12]}). "
                f"Serve the first one again. {RESUME}"
            )

    def _learn(self, pairs: Sequence[Pair], n_tokens: Sequence[Any]) -> None:
        if len(n_tokens) != len(pairs) or not all(_is_count(n) or n is None for n in n_tokens):
            raise BadAnswerError(f"answered {excerpt(list(n_tokens))} for the lengths of {len(pairs)} texts")
        if len(self._lengths) + len(pairs) > LENGTHS_KEPT:
            self._lengths.clear()
        self._lengths.update(zip(pairs, n_tokens, strict=True))


@dataclass(kw_only=True, eq=False)
class PoolingEndpoint(Endpoint):
    """vLLM's ``POST /pooling`` over a model with one reward: a chat a request, or with its tokenizer here, many texts.

    vLLM says nothing of the weights: the fingerprint is of the model's *name*, so a model exchanged behind it goes
    unnoticed.
    """

    client: HttpClient
    texts_per_request: int
    model: str
    words: EditableWords

    def __post_init__(self) -> None:
        self._renders = isinstance(self.words, TokenEdits) and isinstance(self.words.pipeline, ChatPipeline)
        if not self._renders:
            self.texts_per_request = 1

    def served(self) -> Served:
        return Served(
            name=self.model,
            fingerprint=digest(["remote", "pooling", self.model]),
            pipeline_hash=digest(["remote", "pooling", "rendered here" if self._renders else "chat"]),
            special_tokens=self.words.special_tokens,
        )

    def score(self, pairs: Sequence[Pair], precision: Precision) -> list[float | None]:
        del precision  # the server's own
        payload = {"model": self.model, "encoding_format": "float", "use_activation": False, "activation": False}
        payload |= self._rendered(pairs) if self._renders else _chat(pairs[0])
        try:
            return list(
                self.client.post(
                    "/pooling", payload, lambda answer: _pooled(answer, len(pairs)), tokens=_estimated(pairs),
                    refused=lambda reply: too_long(reply.body),
                )
            )  # fmt: skip
        except TooLongError:
            if len(pairs) == 1:
                return [None]
            return [reward for pair in pairs for reward in self.score([pair], "alone")]

    def lengths(self, pairs: Sequence[Pair]) -> list[int]:
        return [self.words.n_tokens(pair) for pair in pairs]

    def _rendered(self, pairs: Sequence[Pair]) -> dict[str, Any]:
        assert isinstance(self.words, TokenEdits)
        assert isinstance(self.words.pipeline, ChatPipeline)
        pipeline = self.words.pipeline
        special = not pipeline.tokenizer.chat_template  # a template writes its own
        return {"input": [pipeline.render(pair) for pair in pairs], "add_special_tokens": special}


@dataclass(kw_only=True, eq=False)
class JudgeEndpoint(Endpoint):
    """An LLM that is asked for a score. Its fingerprint is of its name and of how it is asked, not of its weights."""

    client: HttpClient
    judge: JudgeClient
    words: EditableWords
    texts_per_request: int = 1

    def served(self) -> Served:
        return Served(
            name=self.judge.model,
            fingerprint=digest(["remote", "openai", self.judge.model]),
            pipeline_hash=self.judge.identity,
            special_tokens=self.words.special_tokens,
        )

    def score(self, pairs: Sequence[Pair], precision: Precision) -> list[float | None]:
        del precision
        return [self._score(pair) for pair in pairs]

    def _score(self, pair: Pair) -> float | None:
        try:
            return self.judge.score(pair.prompt, pair.response)
        except TooLongError:  # known only once it was asked
            return None

    def lengths(self, pairs: Sequence[Pair]) -> list[int]:
        return [self.words.n_tokens(pair) for pair in pairs]


def _served(answer: Any) -> Served:
    special = member(answer, "special_tokens", list)
    if not all(isinstance(token, str) for token in special):
        raise BadAnswerError(f"'special_tokens' of its answer is {excerpt(special)}")
    return Served(
        name=member(answer, "name", str),
        fingerprint=member(answer, "fingerprint", str),
        pipeline_hash=member(answer, "pipeline_hash", str),
        reward_dtype=member(answer, "reward_dtype", str),
        ranking_dtype=member(answer, "ranking_dtype", str),
        special_tokens=tuple(special),
        flops_per_token=number(member(answer, "flops_per_token", (int, float))),
        is_relative=member(answer, "compares", bool),
    )


def _pooled(answer: Any, n: int) -> list[float]:
    """One number a text, in the texts' order; of a reward per token the last token's."""
    rows = member(answer, "data", list)
    found: dict[int, float] = {}
    for row in rows:
        values = member(row, "data", list)
        if values and isinstance(values[-1], list):
            values = values[-1]
        if len(values) != 1:
            raise RemoteError(f"/pooling gives {len(values)} numbers a text; a reward is one. Serve a scalar RM")
        found[member(row, "index", int)] = number(values[0])
    if sorted(found) != list(range(n)) or len(rows) != n:
        raise BadAnswerError(f"answered {len(rows)} rewards for {n} texts")
    return [found[at] for at in range(n)]


def _item(pair: Pair) -> dict[str, Any]:
    return {"prompt": turns_of(pair.prompt), "response": pair.response}


def _chat(pair: Pair) -> dict[str, Any]:
    answered = [*turns_of(pair.prompt), {"role": "assistant", "content": pair.response}]
    return {"messages": answered, "add_generation_prompt": False}


def turns_of(prompt: Conversation) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.content} for turn in prompt]


def _estimated(pairs: Sequence[Pair]) -> int:
    """Tokens, to reserve before a server says what it took."""
    return sum(len(turn.content) for pair in pairs for turn in pair.prompt) // 4 + sum(
        len(pair.response) // 4 + 1 for pair in pairs
    )


def _error_of(reply: Reply) -> dict[str, Any]:
    try:
        error = member(reply.json(), "error", dict)
    except BadAnswerError:
        return {}
    return dict(error)


def _own_error(error: dict[str, Any]) -> Exception | None:
    """The error that the RM raised where it is served."""
    message = str(error.get("message", ""))
    match error.get("code"):
        case "too_long":
            return TooLongError(message)
        case "refused":
            return ModelError(message)
    return None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
