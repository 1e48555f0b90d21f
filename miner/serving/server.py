"""The HTTP server: threads of the standard library around one batcher.

No web framework: it would add three dependencies, and what HTTP costs beside the RM's forward pass is little as it is
(``scripts/bench_remote``).
"""

from __future__ import annotations

import hmac
import json
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from miner.errors import ConfigError, RmMinerError
from miner.rewards.base import RewardModel
from miner.serving import requests as r
from miner.serving.batcher import Batcher, BusyError, TooLongPairsError

IDLE_S = 120.0
WAKE_S = 0.5
GRACE_S = 10.0


@dataclass(kw_only=True, eq=False)
class RewardServer:
    """Serves ``rm`` at ``url``; port 0 takes any that is free. ``key``: what clients have to send as bearer token.

    Raises:
        ConfigError: the address cannot be had.
    """

    rm: RewardModel
    host: str = "127.0.0.1"
    port: int = 8000
    key: str | None = field(default=None, repr=False)
    max_request_mb: float = 16.0

    def __post_init__(self) -> None:
        self.batcher = Batcher(rm=self.rm)
        self._started, self._under_way, self._idle = False, 0, threading.Condition()
        handler = type("Handler", (_Handler,), {"reward_server": self})
        server = type("Server", (_Server,), {"address_family": _family(self.host)})
        try:
            self._http = server((self.host, self.port), handler)
        except (OSError, OverflowError) as error:
            self.batcher.close()
            raise ConfigError(
                f"cannot listen on {self.host} port {self.port}: {getattr(error, 'strerror', None) or error}. "
                "Give another --port, or 0 for any that is free"
            ) from error

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self._http.server_address[1]}"

    def start(self) -> None:
        """Answer from now on, on threads of its own."""
        self._started = True
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def close(self) -> None:
        """Take no more requests, answer those that are under way, then stop."""
        if self._started:  # or shutdown would wait for ever
            self._http.shutdown()
        self._http.server_close()
        self.batcher.close()
        with self._idle:
            self._idle.wait_for(lambda: self._under_way == 0, timeout=GRACE_S)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """One request under way."""
        with self._idle:
            self._under_way += 1
        try:
            yield
        finally:
            with self._idle:
                self._under_way -= 1
                self._idle.notify_all()

    def answer(self, path: str, body: bytes) -> dict[str, Any]:
        """The answer to a POST.

        Raises:
            BadRequestError, RmMinerError: what is wrong with it, or with the RM.
        """
        if path == "/v1/scores":
            asked = r.read_request(r.ScoresRequest, body)
            return r.scores_answer(self.rm, self.batcher.ask(asked.precision, r.pairs_of(asked.items)))
        if path == "/v1/lengths":
            asked = r.read_request(r.LengthsRequest, body)
            try:
                return r.lengths_answer(self.rm, self.batcher.ask("lengths", r.pairs_of(asked.items)).n_tokens)
            except TooLongPairsError as error:
                return r.lengths_answer(self.rm, error.n_tokens)
        if path == "/pooling":
            pair = r.chat_pair(r.read_request(r.PoolingRequest, body))
            return r.pooling_answer(self.rm, self.batcher.ask("exact", [pair]))
        raise r.BadRequestError(404, "not_found", f"nothing at {path}. POST /v1/scores, /v1/lengths or /pooling")


def serve(server: RewardServer, ready: Callable[[], None]) -> None:
    """Serves until SIGINT or SIGTERM, and answers what is under way before it returns."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    server.start()
    ready()
    while not ended.wait(WAKE_S):  # on Windows no signal ends a wait without a limit
        pass
    server.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    reward_server: ClassVar[RewardServer]
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "rmminer", ""
    timeout = IDLE_S
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        with self.reward_server.counted():
            if self.path == "/health":
                self._send(200, {"status": "ok"})
            elif not self._may():
                self._refuse(401, "unauthorised", "expected the header 'Authorization: Bearer KEY'")
            elif self.path == "/info":
                self._send(200, r.info(self.reward_server.rm))
            else:
                self._refuse(404, "not_found", f"nothing at {self.path}. GET /info or /health")

    def do_POST(self) -> None:
        with self.reward_server.counted():
            body = self._body()
            if body is None:
                return
            if not self._may():
                self._refuse(401, "unauthorised", "expected the header 'Authorization: Bearer KEY'")
                return
            try:
                self._send(200, self.reward_server.answer(self.path, body))
            except r.BadRequestError as error:
                self._refuse(error.status, error.code, str(error))
            except TooLongPairsError as error:
                self._refuse(422, "too_long", str(error), n_tokens=list(error.n_tokens))
            except BusyError as error:
                self._refuse(503, "busy", str(error))
            except RmMinerError as error:
                self._refuse(422, "refused", str(error))
            except Exception as error:
                self._refuse(500, "failed", f"{type(error).__name__}: {error}")

    def _may(self) -> bool:
        key = self.reward_server.key
        sent = self.headers.get("Authorization", "")
        return key is None or hmac.compare_digest(sent.encode(), f"Bearer {key}".encode())

    def _body(self) -> bytes | None:
        """The request's body; None where it was refused unread, and the connection with it."""
        declared = self.headers.get("Content-Length")
        limit = int(self.reward_server.max_request_mb * 2**20)
        self.close_connection = True
        if declared is None or "Transfer-Encoding" in self.headers:
            self._refuse(411, "length_required", "expected a Content-Length, and no Transfer-Encoding")
            return None
        if not (declared.isascii() and declared.isdigit()):
            self._refuse(400, "bad_request", f"Content-Length {declared!r} is no number of bytes")
            return None
        if int(declared) > limit:
            self._refuse(413, "too_large", f"{declared} bytes; a request may have {limit}. Send fewer texts at once")
            return None
        body = self.rfile.read(int(declared))
        if len(body) < int(declared):
            return None  # the client went away
        self.close_connection = self.headers.get("Connection", "").lower() == "close"
        return body

    def _refuse(self, status: int, code: str, message: str, **more: Any) -> None:
        self._send(status, {"error": {"code": code, "message": message, **more}})

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        body = json.dumps(answer, allow_nan=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status == 503:
            self.send_header("Retry-After", "1")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: who asks what is nobody's business, and a scored text may be long."""


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
