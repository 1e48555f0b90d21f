"""A server on loopback that does as its script says, request by request, and rightly once the script is over."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Act = Callable[["Handler"], None]
Answer = Callable[[str, Any], Any]  # of path and payload: what JSON is made of, or an act


@dataclass
class Faulty:
    """``script`` is used up in order; ``answer`` is what a right answer holds. ``seen`` has (path, payload)."""

    answer: Answer
    script: list[Act] = field(default_factory=list)
    seen: list[tuple[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    connections: int = 0
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    faulty: Faulty

    def setup(self) -> None:
        super().setup()
        self.faulty.connections += 1

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, payload: Any) -> None:
        self.faulty.seen.append((self.path, payload))
        self.faulty.headers.append(dict(self.headers))
        self.payload = payload
        act = self.faulty.script.pop(0) if self.faulty.script else right
        act(self)

    def send(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", headers.pop("length", str(len(body))))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def right(handler: Handler) -> None:
    answer = handler.faulty.answer(handler.path, handler.payload)
    if callable(answer):
        answer(handler)
    else:
        handler.send(200, json.dumps(answer).encode())


def status(code: int, body: str = "{}", **headers: str) -> Act:
    return lambda handler: handler.send(code, body.encode(), **headers)


def says(body: str, kind: str = "application/json") -> Act:
    return lambda handler: handler.send(200, body.encode(), kind)


def promises_more(handler: Handler) -> None:
    """A Content-Length that the body does not fill, then the end of the connection."""
    handler.send(200, b'{"rewards": [1.0', length="4000")
    handler.close_connection = True


def promises_less(handler: Handler) -> None:
    """A Content-Length that cuts the body off; what is left over would be the next answer's head."""
    handler.send(200, json.dumps(handler.faulty.answer(handler.path, handler.payload)).encode(), length="9")


def hangs_up(handler: Handler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def stalls(handler: Handler) -> None:
    time.sleep(1.0)
    handler.close_connection = True


def trickles(handler: Handler) -> None:
    """Never silent for long, and never done."""
    handler.send(200, b"", length="100000")
    for _ in range(40):
        try:
            handler.wfile.write(b" ")
        except OSError:
            break
        time.sleep(0.05)
    handler.close_connection = True


@contextmanager
def faulty_server(answer: Answer, script: list[Act] | None = None) -> Iterator[Faulty]:
    faulty = Faulty(answer, list(script or []))
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"faulty": faulty}))
    http.daemon_threads = True
    http.handle_error = lambda *_: None  # type: ignore[method-assign]
    faulty.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield faulty
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
