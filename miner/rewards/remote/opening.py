"""Opens a remote RM or judge from its table in the campaign file."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

from corpus.records import Conversation
from miner.config.reward_model import RemoteSection, RewardModelSection
from miner.errors import ConfigError
from miner.rewards.remote.endpoints import Endpoint, JudgeEndpoint, PoolingEndpoint, ScoresEndpoint
from miner.rewards.remote.http import HttpClient, key_from
from miner.rewards.remote.judge import JudgeClient
from miner.rewards.remote.limits import Meter, RateLimiter
from miner.rewards.remote.reward_model import RemoteRewardModel
from miner.rewards.remote.words import EditableWords, TokenEdits, WordEdits


def open_remote(section: RewardModelSection, source: str, references: Mapping[Conversation, str]) -> RemoteRewardModel:
    """The RM at ``source``. Its words are a tokenizer's (``rm.remote.tokenizer``), else those of ``references``.

    Raises:
        ConfigError: no key where one is named, or too few words.
        OutageError, RemoteError: no server, or none that is asked this way.
    """
    remote = section.remote or RemoteSection()
    words = _words(remote, references, ascii_only=section.ascii_only)
    return RemoteRewardModel(endpoint=_endpoint(remote, source, words), words_of=words, concurrency=remote.concurrency)


def open_judge(remote: RemoteSection, source: str) -> JudgeClient:
    """The judge at ``source``, an OpenAI-compatible address; nothing is asked yet.

    Raises:
        ConfigError: no model is named, or no key where one is.
    """
    if remote.model is None:
        raise ConfigError("a judge needs the name of its model: --set rm.remote.model=NAME")
    bare = re.sub(r"/chat/completions/?$", "", source.rstrip("/"))
    root = bare if re.search(r"^https?://[^/]+/", bare, re.IGNORECASE) else f"{bare}/v1"
    return JudgeClient(
        client=_client(remote, root), model=remote.model, how=remote.judge, concurrency=remote.concurrency
    )


def _endpoint(remote: RemoteSection, source: str, words: EditableWords) -> Endpoint:
    root = re.sub(r"/v1/?$", "", source)
    match remote.protocol:
        case "scores":
            return ScoresEndpoint(client=_client(remote, root), texts_per_request=remote.batch)
        case "pooling":
            return PoolingEndpoint(
                client=_client(remote, root), texts_per_request=remote.batch, model=str(remote.model), words=words
            )
        case "openai":
            judge = open_judge(remote, source)
            return JudgeEndpoint(client=judge.client, judge=judge, words=words)


def _client(remote: RemoteSection, root: str) -> HttpClient:
    return HttpClient(
        root=root,
        key=key_from(remote.key_env),
        timeout_s=remote.timeout_s,
        retries=remote.retries,
        give_up_s=remote.give_up_s,
        connections=remote.concurrency,
        meter=Meter(
            max_requests=remote.max_requests,
            max_cost=remote.max_cost,
            price_per_1k_tokens=remote.price_per_1k_tokens,
        ),
        limiter=RateLimiter(per_minute=remote.requests_per_minute, clock=time.monotonic),
    )


def _words(remote: RemoteSection, references: Mapping[Conversation, str], *, ascii_only: bool) -> EditableWords:
    if remote.tokenizer is not None:
        return TokenEdits.load(remote.tokenizer, ascii_only=ascii_only)
    texts = [text for prompt, good in references.items() for text in (*(turn.content for turn in prompt), good)]
    return WordEdits.of(texts, ascii_only=ascii_only)
