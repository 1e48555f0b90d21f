"""What clients may send, checked at the door, and what they are sent back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from corpus.records import Conversation, Message
from miner.data.roles import ROLES, role_named
from miner.rewards.base import Pair, RewardModel
from miner.serving.batcher import BatchScores


class BadRequestError(Exception):
    """A request that cannot be answered: ``status`` and ``code`` for programs, the message for people."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Turn(BaseModel):
    model_config = ConfigDict(strict=True)

    role: str
    content: str

    @field_validator("role")
    @classmethod
    def _known(cls, value: str) -> str:
        """As the loader of preference data reads it: what mines locally mines remotely."""
        role = role_named(value)
        if role is None:
            raise ValueError(f"expected a role of {', '.join(ROLES)}, or a known name of one; got {value[:40]!r}")
        return role


class Item(BaseModel):
    """A response in its conversation."""

    model_config = ConfigDict(strict=True, extra="forbid")

    prompt: list[Turn] = Field(min_length=1)
    response: str


class LengthsRequest(BaseModel):
    """``POST /v1/lengths``."""

    model_config = ConfigDict(strict=True, extra="forbid")

    items: list[Item] = Field(min_length=1)


class ScoresRequest(LengthsRequest):
    """``POST /v1/scores``: "ranking" is fast, "exact" within 1e-4, "alone" each text in a batch of its own."""

    precision: Literal["ranking", "exact", "alone"] = "ranking"


class PoolingRequest(BaseModel):
    """``POST /pooling`` as vLLM takes it, a chat that ends in the response; what else vLLM's takes is let pass."""

    model_config = ConfigDict(extra="ignore")

    model: str | None = None
    messages: list[Turn] | None = None


def read_request(kind: type[BaseModel], body: bytes) -> Any:
    """The request in ``body``.

    Raises:
        BadRequestError: it is no such request; the message names the first problem.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        problem = error.errors(include_input=False)[0]
        place = ".".join(map(str, problem["loc"]))
        said = problem["msg"].removeprefix("Value error, ")
        raise BadRequestError(400, "bad_request", f"{place or 'body'}: {said}") from error


def pairs_of(items: Sequence[Item]) -> list[Pair]:
    return [Pair(_conversation(item.prompt), item.response) for item in items]


def chat_pair(request: PoolingRequest) -> Pair:
    """The pair that a chat stands for.

    Raises:
        BadRequestError: it is none: raw input, no answer at its end, or nothing before it.
    """
    turns = request.messages
    if not turns or len(turns) < 2 or turns[-1].role != "assistant":
        raise BadRequestError(
            400, "bad_request", "expected 'messages' that end in the assistant's turn: the RM scores it, not raw input"
        )
    return Pair(_conversation(turns[:-1]), turns[-1].content)


def _conversation(turns: Sequence[Turn]) -> Conversation:
    return tuple(Message(role=turn.role, content=turn.content) for turn in turns)


def info(rm: RewardModel) -> dict[str, Any]:
    """``GET /info``: which RM this is."""
    return {
        "name": rm.name,
        "fingerprint": rm.fingerprint,
        "pipeline_hash": rm.pipeline_hash,
        "reward_dtype": rm.reward_dtype,
        "ranking_dtype": rm.ranking_dtype,
        "special_tokens": list(rm.special_tokens),
        "flops_per_token": float(getattr(rm, "flops_per_token", 0.0)),
        "compares": rm.is_relative,
    }


def scores_answer(rm: RewardModel, scored: BatchScores) -> dict[str, Any]:
    _require_finite(scored)
    return {"fingerprint": rm.fingerprint, "rewards": list(scored.rewards), "n_tokens": list(scored.n_tokens)}


def lengths_answer(rm: RewardModel, n_tokens: Sequence[int | None]) -> dict[str, Any]:
    return {"fingerprint": rm.fingerprint, "n_tokens": list(n_tokens)}


def pooling_answer(rm: RewardModel, scored: BatchScores) -> dict[str, Any]:
    _require_finite(scored)
    tokens = sum(scored.n_tokens)
    return {
        "id": f"pool-{rm.fingerprint[:12]}",
        "object": "list",
        "model": rm.name,
        "data": [{"index": at, "object": "pooling", "data": [reward]} for at, reward in enumerate(scored.rewards)],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _require_finite(scored: BatchScores) -> None:
    n = sum(not math.isfinite(reward) for reward in scored.rewards)
    if n:
        raise BadRequestError(
            422, "not_finite", f"the RM gives no number for {n} of {len(scored.rewards)} texts. Try: rmminer doctor"
        )
