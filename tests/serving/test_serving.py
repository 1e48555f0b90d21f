"""The server as clients meet it, those that mean it ill among them."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import httpx2
import numpy as np
import numpy.typing as npt
import pytest

from miner.data.roles import KNOWN
from miner.errors import ConfigError, ModelError, TooLongError
from miner.rewards.base import Pair
from miner.serving import RewardServer
from miner.testing import ToyRewardModel

ITEM = {"prompt": [{"role": "user", "content": "Why?"}], "response": "ba ke"}
CHAT = {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "ba ke"}]}
MAX_WORDS = 50


class GatedToy(ToyRewardModel):
    """Waits at the gate before it scores, refuses texts of more than ``MAX_WORDS`` words, and counts its calls."""

    device, flops_per_token = "cpu", 2.0

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.calls: list[int] = []
        self.inside = 0

    def n_tokens(self, pair: Pair) -> int:
        n = super().n_tokens(pair)
        if n > MAX_WORDS:
            raise TooLongError(f"input of {n} tokens is over the RM's maximum of {MAX_WORDS}")
        return n

    def rewards(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        self.inside += 1
        assert self.inside == 1, "two threads in the RM at once"
        assert self.gate.wait(10)
        self.calls.append(len(pairs))
        if any(pair.response == "raise" for pair in pairs):
            raise ValueError("a bug")
        if any(pair.response == "refuse" for pair in pairs):
            self.inside -= 1
            raise ModelError("the template refuses it")
        rewards = super().rewards(pairs)
        self.inside -= 1
        return rewards


@pytest.fixture
def rm() -> GatedToy:
    return GatedToy()


@pytest.fixture
def server(rm: GatedToy) -> Iterator[RewardServer]:
    running = RewardServer(rm=rm, port=0, max_request_mb=0.05)
    running.start()
    yield running
    rm.gate.set()
    running.close()


@pytest.fixture
def client(server: RewardServer) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server.url, trust_env=False, timeout=20) as one:
        yield one


def scores(client: httpx2.Client, *responses: str, **more: Any) -> httpx2.Response:
    return client.post("/v1/scores", json={"items": [{**ITEM, "response": text} for text in responses], **more})


def test_health_and_info(client: httpx2.Client, rm: GatedToy) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    found = client.get("/info").json()
    assert (found["fingerprint"], found["ranking_dtype"]) == (rm.fingerprint, "float64")


def test_scores_come_in_the_order_of_the_texts(client: httpx2.Client, rm: GatedToy) -> None:
    texts = [rm.flaw, "ba", "ke", rm.flaw, "unknown"]
    found = scores(client, *texts).json()
    assert found["rewards"] == [rm.reward(Pair((), text)) for text in texts]
    assert found["n_tokens"] == [1] * 5
    for precision in ("exact", "alone"):
        assert scores(client, *texts, precision=precision).json()["rewards"] == found["rewards"]


def test_pooling_answers_in_the_form_of_vllm(client: httpx2.Client, rm: GatedToy) -> None:
    found = client.post("/pooling", json={**CHAT, "model": "toy", "encoding_format": "float"}).json()
    assert found["object"] == "list"
    (row,) = found["data"]
    assert row == {"index": 0, "object": "pooling", "data": [rm.reward(Pair((), "ba ke"))]}
    assert found["usage"] == {"prompt_tokens": 2, "total_tokens": 2}


@pytest.mark.parametrize("role", sorted(KNOWN))
def test_every_role_that_the_loader_reads_is_scored(role: str, client: httpx2.Client) -> None:
    turns = [{"role": role, "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    answer = client.post("/v1/scores", json={"items": [{"prompt": turns, "response": "ba ke"}]})
    assert answer.status_code == 200, answer.text
    chat = client.post("/pooling", json={"messages": [*turns, {"role": "assistant", "content": "ba ke"}]})
    assert chat.status_code == 200, chat.text


BAD: dict[str, tuple[str, Any, int, str]] = {
    "nowhere": ("/v2/scores", {}, 404, "POST /v1/scores"),
    "no JSON": ("/v1/scores", b"{", 400, "JSON"),
    "no items": ("/v1/scores", {}, 400, "items"),
    "empty": ("/v1/scores", {"items": []}, 400, "items"),
    "no prompt": ("/v1/scores", {"items": [{"prompt": [], "response": "a"}]}, 400, "items.0.prompt"),
    "another role": (
        "/v1/scores", {"items": [{**ITEM, "prompt": [{"role": "tol", "content": "a"}]}]}, 400, "items.0.prompt.0.role"
    ),
    "a number": ("/v1/scores", {"items": [{**ITEM, "response": 4}]}, 400, "items.0.response"),
    "one more key": ("/v1/scores", {"items": [ITEM], "precission": "exact"}, 400, "precission"),
    "precision": ("/v1/scores", {"items": [ITEM], "precision": "rough"}, 400, "precision"),
    "lone surrogate": ("/v1/scores", b'{"items": [{"prompt": [], "response": "\\ud800"}]}', 400, ""),
    "raw input": ("/pooling", {"input": "text"}, 400, "messages"),
    "no answer": ("/pooling", {"messages": CHAT["messages"][:1]}, 400, "assistant"),
    "an answer to nothing": ("/pooling", {"messages": CHAT["messages"][1:]}, 400, "assistant"),
    "deep": ("/v1/scores", b"[" * 20_000, 400, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_told_what_is_wrong_and_the_server_goes_on(name: str, client: httpx2.Client) -> None:
    path, body, status, found = BAD[name]
    sent = {"content": body} if isinstance(body, bytes) else {"json": body}
    reply = client.post(path, **sent)
    assert reply.status_code == status
    assert found in reply.json()["error"]["message"]
    assert scores(client, "ba").status_code == 200


def test_too_large_a_request_is_refused_unread(client: httpx2.Client) -> None:
    reply = scores(client, "ba " * 100_000)
    assert reply.status_code == 413
    assert "fewer texts" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("Content-Length: many", b" 400 "),
        ("Content-Length: -1", b" 400 "),
        ("Content-Length: ²", b" 400 "),
        ("X: y", b" 411 "),
        ("Transfer-Encoding: chunked\r\nContent-Length: 2", b" 411 "),
        ("Content-Length: 99999999999999999999", b" 413 "),
    ],
)
def test_a_request_that_does_not_say_its_length_is_refused(head: str, status: bytes, server: RewardServer) -> None:
    with _connected(server) as raw:
        raw.sendall(f"POST /v1/scores HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode("latin-1"))
        answer = b"".join(iter(lambda: raw.recv(4096), b""))  # until the server closes
    assert status in answer.splitlines()[0]
    assert b'"error"' in answer


def test_a_client_that_promises_more_than_it_sends_harms_nobody(server: RewardServer, client: httpx2.Client) -> None:
    with _connected(server) as raw:
        raw.sendall(b"POST /v1/scores HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{}")
    with _connected(server) as raw:
        raw.sendall(b"\x16\x03\x01 no HTTP at all\r\n\r\n")
    assert scores(client, "ba").status_code == 200


def _connected(server: RewardServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])), timeout=10)


def test_too_long_a_text_is_named_with_the_lengths_of_the_others(client: httpx2.Client) -> None:
    reply = scores(client, "ba", "ba " * 80, "ba ke")
    assert reply.status_code == 422
    error = reply.json()["error"]
    assert (error["code"], error["n_tokens"]) == ("too_long", [1, None, 2])
    lengths = client.post("/v1/lengths", json={"items": [{**ITEM, "response": "ba " * n} for n in (2, 80)]})
    assert lengths.json()["n_tokens"] == [3, None]


def test_an_rm_that_refuses_or_fails_is_an_error_for_that_request(client: httpx2.Client) -> None:
    reply = scores(client, "refuse")
    assert (reply.status_code, reply.json()["error"]["code"]) == (422, "refused")
    reply = scores(client, "raise")
    assert (reply.status_code, reply.json()["error"]["message"]) == (500, "ValueError: a bug")


def test_what_waits_together_is_scored_together_and_no_error_spreads(server: RewardServer, rm: GatedToy) -> None:
    rm.gate.clear()
    replies: dict[str, httpx2.Response] = {}

    def ask(text: str) -> None:
        with httpx2.Client(base_url=server.url, trust_env=False, timeout=20) as one:
            replies[text] = scores(one, text, "ke")

    texts = ["ba", "mo", "nu", "ba " * 80, "li", "refuse"]
    threads = [threading.Thread(target=ask, args=(text,)) for text in texts]
    threads[0].start()
    _until(lambda: rm.inside == 1)
    for thread in threads[1:]:
        thread.start()
    _until(lambda: len(server.batcher._waiting) == len(texts) - 1)
    rm.gate.set()
    for thread in threads:
        thread.join(10)
    assert [replies[text].status_code for text in texts] == [200, 200, 200, 422, 200, 422]
    assert all(replies[text].json()["rewards"][0] == rm.reward(Pair((), text)) for text in ("ba", "mo", "nu", "li"))


def test_equal_texts_of_several_requests_are_scored_once(server: RewardServer, rm: GatedToy) -> None:
    rm.gate.clear()
    threads = [threading.Thread(target=_ask_alone, args=(server, text)) for text in ("ba", "mo", "mo", "mo", "li")]
    threads[0].start()
    _until(lambda: rm.inside == 1)
    for thread in threads[1:]:
        thread.start()
    _until(lambda: len(server.batcher._waiting) == 4)
    rm.gate.set()
    for thread in threads:
        thread.join(10)
    assert rm.calls == [1, 2]
    assert (server.batcher.batches, server.batcher.texts) == (2, 3)


def _ask_alone(server: RewardServer, text: str) -> None:
    with httpx2.Client(base_url=server.url, trust_env=False, timeout=20) as one:
        assert scores(one, text).status_code == 200


def _until(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_more_than_may_wait_is_told_to_come_again(server: RewardServer, rm: GatedToy, client: httpx2.Client) -> None:
    server.batcher.max_waiting = 2
    rm.gate.clear()
    threads = [threading.Thread(target=_ask_alone, args=(server, text)) for text in ("ba", "mo", "nu")]
    for n, thread in enumerate(threads):
        thread.start()
        _until(lambda n=n: rm.inside + len(server.batcher._waiting) == n + 1)
    reply = scores(client, "li")
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
    rm.gate.set()
    for thread in threads:
        thread.join(10)
    assert scores(client, "li").status_code == 200


def test_closing_answers_what_is_under_way(rm: GatedToy) -> None:
    server = RewardServer(rm=rm, port=0)
    server.start()
    rm.gate.clear()
    asking = threading.Thread(target=_ask_alone, args=(server, "ba"))
    asking.start()
    _until(lambda: rm.inside == 1)
    closing = threading.Thread(target=server.close)
    closing.start()
    time.sleep(0.2)
    assert closing.is_alive()
    rm.gate.set()
    closing.join(10)
    asking.join(10)
    assert rm.calls == [1]
    with pytest.raises(OSError, match="refused"):
        _connected(server)


def test_a_key_is_asked_for_where_there_is_one(rm: GatedToy) -> None:
    server = RewardServer(rm=rm, port=0, key="sesame")
    server.start()
    try:
        with httpx2.Client(base_url=server.url, trust_env=False) as client:
            for headers in ({}, {"Authorization": "Bearer open"}, {"Authorization": "sesame"}):
                for path in ("/v1/scores", "/pooling"):
                    assert client.post(path, json={"items": [ITEM]}, headers=headers).status_code == 401
                assert client.get("/info", headers=headers).status_code == 401
            allowed = {"Authorization": "Bearer sesame"}
            assert client.post("/v1/scores", json={"items": [ITEM]}, headers=allowed).status_code == 200
            assert client.get("/health").status_code == 200
        assert "sesame" not in repr(server)
    finally:
        server.close()


def test_a_port_that_is_taken_is_one_line(server: RewardServer, rm: GatedToy) -> None:
    with pytest.raises(ConfigError, match="--port"):
        RewardServer(rm=rm, port=int(server.url.rsplit(":", 1)[1]))


def test_answers_are_ascii_json_whatever_the_rm_says(client: httpx2.Client) -> None:
    reply = client.post("/v1/scores", json={"items": [{**ITEM, "response": "\u202e naïve"}]})
    assert json.loads(reply.content) == reply.json()
    assert reply.content.isascii()


def test_a_server_that_never_started_can_be_closed(rm: GatedToy) -> None:
    RewardServer(rm=rm, port=0).close()
