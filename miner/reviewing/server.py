"""Serving the review pages until Ctrl-C."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable

import uvicorn

from miner.errors import ConfigError
from miner.reviewing.app import ReviewPages
from miner.reviewing.guard import LOOPBACK
from miner.reviewing.room import ReviewRoom


class ReviewServer:
    """The pages of a run at an address with a token in it. The port is taken here: 0 takes any that is free.

    Raises:
        ConfigError: the address cannot be listened on.
    """

    def __init__(self, room: ReviewRoom, *, host: str = "127.0.0.1", port: int = 0, token: str | None = None) -> None:
        self.token = token or secrets.token_urlsafe(24)
        self._socket = _listening(host, port)
        self._room = room
        shown = f"[{host}]" if ":" in host else host
        everywhere = host in ("0.0.0.0", "::")
        name = socket.gethostname() if everywhere else shown
        self.address = f"http://{name}:{self._socket.getsockname()[1]}"
        hosts = (*LOOPBACK, shown.lower(), *((name.lower(), socket.getfqdn().lower()) if everywhere else ()))
        config = uvicorn.Config(
            ReviewPages(room).app(token=self.token, hosts=hosts),
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        self._server = uvicorn.Server(config)

    @property
    def url(self) -> str:
        return f"{self.address}/?token={self.token}"

    def run(self, ready: Callable[[], None]) -> None:
        """Answer requests until Ctrl-C, or ``stop``; what was answered is stored in any case."""
        ready()
        try:
            with self._socket:
                self._server.run(sockets=[self._socket])
        except KeyboardInterrupt:
            pass  # uvicorn raises it again once everything is answered
        finally:
            if self._room.journal.all():
                self._room.corpus.compact("reviews")

    def stop(self) -> None:
        """Answer what is under way, and end."""
        self._server.should_exit = True


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error.strerror or error}. Name another: --port 0 takes any that is free"
        ) from error
    listening.listen(64)
    return listening
