"""One server asked over HTTP: retries, waits, ceilings, and errors that say what to do.

A request that fails for a reason that may pass (no connection, no answer in time, a broken or short body, 408, 425,
429, 5xx, an answer that is no answer) is sent again after a wait that doubles and is drawn at random, or after what
``Retry-After`` says. What will not pass (another status, a spent ceiling) is an error at once. Redirects are not
followed: they would carry the key to another host.
"""

from __future__ import annotations

import json
import os
import random
import re
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, TypeVar

import httpx2
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, stop_before_delay

from miner.errors import ConfigError, OutageError, RemoteError
from miner.rewards.remote.answers import BadAnswerError, excerpt, parsed
from miner.rewards.remote.limits import Meter, RateLimiter

T = TypeVar("T")

FIRST_WAIT_S = 0.5
MAX_WAIT_S = 30.0
CONNECT_TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 64 << 20
RETRYABLE_STATUSES = frozenset((408, 425, 429, 500, 502, 503, 504, 529))
RESUME = "What was stored is intact: the same command resumes"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Errors as ``miner.rewards.remote.answers.parsed``."""
        return parsed(self.body, self.headers.get("content-type", ""))


class _RetryableError(Exception):
    """A failure worth another try; ``wait_s`` is what the server asked for. ``free``: it cannot have cost anything."""

    def __init__(self, found: str, wait_s: float | None = None, *, free: bool = False) -> None:
        super().__init__(found)
        self.wait_s, self.free = wait_s, free


@dataclass(kw_only=True, eq=False)
class HttpClient:
    """Asks the server at ``root``, from any number of threads. ``key`` is sent, and shown to nobody."""

    root: str
    key: str | None = field(default=None, repr=False)
    timeout_s: float = 60.0
    retries: int = 6
    give_up_s: float = 300.0
    connections: int = 8
    meter: Meter = field(default_factory=Meter)
    limiter: RateLimiter = field(default_factory=lambda: RateLimiter(per_minute=None, clock=time.monotonic))
    sleep: Callable[[float], None] = time.sleep
    seed: int = 0

    def __post_init__(self) -> None:
        self.root = self.root.rstrip("/")
        self._jitter, self._lock = random.Random(self.seed), threading.Lock()
        try:
            host = httpx2.URL(self.root).host
        except httpx2.InvalidURL as error:
            raise ConfigError(f"{self.root!r} is no address ({error}). Expected http://HOST:PORT") from error
        if not host:
            raise ConfigError(f"{self.root!r} is no address: it names no host. Expected http://HOST:PORT")
        headers = {"User-Agent": "rmminer", **({"Authorization": f"Bearer {self.key}"} if self.key else {})}
        self._client = httpx2.Client(
            headers=headers,
            timeout=httpx2.Timeout(self.timeout_s, connect=min(self.timeout_s, CONNECT_TIMEOUT_S), pool=None),
            limits=httpx2.Limits(max_connections=self.connections, max_keepalive_connections=self.connections),
            trust_env=host not in LOOPBACK,  # no proxy stands between this machine and itself
            follow_redirects=False,
        )

        weakref.finalize(self, self._client.close)  # nobody else knows when an RM is done with

    def get(self, path: str, read: Callable[[Any], T]) -> T:
        """``read`` of the JSON at ``path``; errors as ``post``."""
        return self._ask("GET", path, None, read, tokens=0)[0]

    def post(
        self,
        path: str,
        payload: object,
        read: Callable[[Any], T],
        *,
        tokens: int = 0,
        refused: Callable[[Reply], Exception | None] = lambda _: None,
    ) -> T:
        """``read`` of what the server answers to ``payload``. ``tokens`` is what that may cost.

        ``read`` raises ``BadAnswerError`` for what is no answer; ``refused`` may name a better error for a status of
        400 to 499.

        Raises:
            OutageError: no usable answer, however often it was asked.
            RemoteError: the server refused, and would again.
            BudgetExceededError: a ceiling is reached.
        """
        value, answer = self._ask("POST", path, payload, read, tokens=tokens, refused=refused)
        self.meter.settle(tokens, _tokens_used(answer, tokens))
        return value

    def _ask(
        self,
        method: str,
        path: str,
        payload: object,
        read: Callable[[Any], T],
        *,
        tokens: int,
        refused: Callable[[Reply], Exception | None] = lambda _: None,
    ) -> tuple[T, Any]:
        def once() -> tuple[T, Any]:
            self.meter.reserve(tokens)
            try:
                reply = self._send(method, path, payload)
                self._require_success(path, reply, refused)
            except _RetryableError as error:
                if error.free:
                    self.meter.settle(tokens, 0)
                raise
            answer = reply.json()
            return read(answer), answer

        retrying = Retrying(
            retry=retry_if_exception_type((_RetryableError, BadAnswerError)),
            wait=self._wait,
            stop=stop_after_attempt(self.retries + 1) | stop_before_delay(self.give_up_s),
            sleep=self.sleep,
            retry_error_callback=partial(self._give_up, path),
        )
        return retrying(once)

    def _give_up(self, path: str, state: RetryCallState) -> Any:
        failure, spent = _failure(state), state.seconds_since_start or 0.0
        asked = getattr(failure, "wait_s", None)
        told = f"; it asks for a wait of {asked:.0f} s" if asked is not None and asked > self.give_up_s - spent else ""
        raise OutageError(
            f"{self.root}{path} {self._without_key(str(failure))}{told} (asked {state.attempt_number} times in "
            f"{spent:.0f} s). Repair or restart the server. {RESUME}"
        ) from failure

    def _send(self, method: str, path: str, payload: object) -> Reply:
        """One request and its whole answer within ``timeout_s``, whatever trickles in."""
        if (wait := self.limiter.reserve()) > 0:
            self.sleep(wait)
        started, blocks, size = time.monotonic(), [], 0
        try:
            with self._client.stream(method, f"{self.root}{path}", **_body(payload)) as response:
                for block in response.iter_bytes():
                    blocks.append(block)
                    size += len(block)
                    if time.monotonic() - started > self.timeout_s:
                        raise _RetryableError(f"was not done with its answer after {self.timeout_s:g} s")
                    if size > MAX_ANSWER_BYTES:
                        raise _RetryableError(f"answered more than {MAX_ANSWER_BYTES >> 20} MiB")
                return self._reply(response.status_code, dict(response.headers), b"".join(blocks))
        except httpx2.ConnectTimeout as error:
            raise _RetryableError(f"could not be reached within {CONNECT_TIMEOUT_S:g} s", free=True) from error
        except httpx2.TimeoutException as error:
            raise _RetryableError(f"gave no answer within {self.timeout_s:g} s") from error
        except httpx2.ConnectError as error:
            raise _RetryableError(f"cannot be reached: {error}", free=True) from error
        except httpx2.RemoteProtocolError as error:
            raise _RetryableError(f"broke off, or lied about its answer's length: {error}") from error
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise _RetryableError(f"broke off: {error or type(error).__name__}") from error

    def _require_success(self, path: str, reply: Reply, refused: Callable[[Reply], Exception | None]) -> None:
        status = reply.status
        if 200 <= status < 300:
            return
        said = excerpt(reply.body)
        if status in RETRYABLE_STATUSES:
            raise _RetryableError(
                f"answered {status}: {said}", _retry_after(reply.headers.get("retry-after")), free=True
            )
        if 400 <= status < 500 and (error := refused(reply)) is not None:
            raise error
        fix = {
            401: "Set the variable that rm.remote.key_env names to a key that it takes",
            403: "Set the variable that rm.remote.key_env names to a key that it takes",
            404: "Check the address, rm.remote.protocol and rm.remote.model",
            405: "Check the address and rm.remote.protocol",
            413: "Lower rm.remote.batch",
        }.get(status, "Check the address and the table [rm.remote]")
        if 300 <= status < 400:
            said, fix = f"a redirect to {reply.headers.get('location', 'nowhere')!r}", "Give that address itself"
        raise RemoteError(f"{self.root}{path} answered {status}: {said}. {fix}. {RESUME}")

    def _wait(self, state: RetryCallState) -> float:
        """Twice as long each time, half of it by chance, or what the server asked for if that is longer; seconds."""
        asked = getattr(_failure(state), "wait_s", None)
        with self._lock:
            drawn = self._jitter.uniform(0.5, 1.0)
        return max(float(asked or 0.0), drawn * min(MAX_WAIT_S, FIRST_WAIT_S * 2.0 ** (state.attempt_number - 1)))

    def _reply(self, status: int, headers: dict[str, str], body: bytes) -> Reply:
        """What was answered, the key taken out wherever it is echoed: before anything is cut, shown or stored."""
        shown = {name: self._without_key(value) for name, value in headers.items()}
        return Reply(status, shown, body.replace(self.key.encode(), b"[key]") if self.key else body)

    def _without_key(self, text: str) -> str:
        return text.replace(self.key, "[key]") if self.key else text


def key_from(name: str | None, *, named_by: str = "rm.remote.key_env") -> str | None:
    """The API key in the environment variable ``name``; None without a name.

    Raises:
        ConfigError: there is no such variable, or it is empty or no header could carry it.
    """
    if name is None:
        return None
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ConfigError(f"{named_by} is no name of an environment variable. Give the name, never the key itself")
    key = os.environ.get(name, "").strip()
    if not key:
        raise ConfigError(f"the environment variable {name!r} ({named_by}) is not set. Set it to the API key")
    if not key.isascii() or not key.isprintable():
        raise ConfigError(f"the environment variable {name!r} ({named_by}) holds characters that no key has")
    return key


def _body(payload: object) -> dict[str, Any]:
    """``payload`` as ASCII JSON, which holds even what is no valid Unicode."""
    if payload is None:
        return {}
    return {"content": json.dumps(payload, allow_nan=False).encode(), "headers": {"Content-Type": "application/json"}}


def _retry_after(value: str | None) -> float | None:
    """Seconds from now, of a number of seconds or a date; None for what is neither."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _failure(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _tokens_used(answer: Any, estimated: int) -> int:
    """What the answer says that it took, where it says so."""
    usage = answer.get("usage") if isinstance(answer, dict) else None
    total = usage.get("total_tokens") if isinstance(usage, dict) else None
    return total if isinstance(total, int) and total >= 0 else estimated
