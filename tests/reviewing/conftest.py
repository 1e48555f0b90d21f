"""A run with hostile texts in it, and its pages on a port of their own."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from miner.reviewing.items import ReviewPlan
from miner.reviewing.room import ReviewRoom
from miner.reviewing.server import ReviewServer
from tests.reporting.samples import write_run

TOKEN = "token-of-these-tests"
SIXTY = ReviewPlan(n=60)


@dataclass
class Reviewing:
    """A client that has the token, as a browser would have it."""

    room: ReviewRoom
    url: str
    client: httpx2.Client
    _item: dict[str, str] = field(default_factory=dict)

    def get(self, path: str) -> httpx2.Response:
        return self.client.get(path)

    def post(self, path: str, **values: str) -> httpx2.Response:
        return self.client.post(path, data=values, headers={"x-fragment": "1", "origin": self.url})

    def open(self, reviewer: str = "Ann", mode: str = "verdicts") -> str:
        """The item this reviewer is shown; empty where all is done."""
        return item_in(self.get(f"/review/{mode}?reviewer={reviewer}").text)

    def answer(self, verdict: str, reviewer: str = "Ann", mode: str = "verdicts", **values: str) -> str:
        """Answers what is shown; gives the item shown next."""
        html = self.get(f"/review/{mode}?reviewer={reviewer}").text
        given = {"item": item_in(html), "showing": value_of("showing", html), "seconds": "2", **values}
        reply = self.post(f"/review/{mode}", reviewer=reviewer, verdict=verdict, **given)
        assert reply.status_code == 200, reply.text
        return item_in(reply.text)


def value_of(name: str, html: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', html)
    return found[1] if found else ""


def item_in(html: str) -> str:
    return value_of("item", html)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    write_run(tmp_path / "run", findings=120)
    return tmp_path / "run"


@pytest.fixture
def serve(run_folder: Path) -> Iterator[Callable[..., Reviewing]]:
    """Starts the pages of ``run_folder``, or of another folder."""
    running: list[tuple[ReviewServer, threading.Thread, httpx2.Client]] = []

    def start(folder: Path = run_folder, *, blind: bool = True, plan: ReviewPlan = SIXTY) -> Reviewing:
        room = ReviewRoom(folder, plan, blind=blind)
        server = ReviewServer(room, token=TOKEN)
        ready = threading.Event()
        thread = threading.Thread(target=server.run, args=(ready.set,), daemon=True)
        thread.start()
        assert ready.wait(10)
        client = httpx2.Client(base_url=server.address, trust_env=False, timeout=30, follow_redirects=True)
        running.append((server, thread, client))
        assert client.get(f"/?token={TOKEN}").status_code == 200
        return Reviewing(room=room, url=server.address, client=client)

    yield start
    for server, thread, client in running:
        client.close()
        server.stop()
        thread.join(10)


@pytest.fixture
def reviewing(serve: Callable[..., Reviewing]) -> Reviewing:
    return serve()
