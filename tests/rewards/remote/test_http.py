"""The client against servers that fail in every way that we know; waits are recorded, not slept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from miner.errors import BudgetExceededError, ConfigError, OutageError, RemoteError
from miner.rewards.remote.answers import numbers
from miner.rewards.remote.http import HttpClient, key_from
from miner.rewards.remote.limits import Meter, RateLimiter
from miner.rewards.remote.parallel import in_parallel
from tests.rewards.remote import faults
from tests.rewards.remote.faults import Act, Faulty, faulty_server, free_port

KEY = "sk-very-secret-0123456789"


def echo(path: str, payload: Any) -> Any:
    del path
    return {"rewards": payload}


@pytest.fixture
def server() -> Iterator[Faulty]:
    with faulty_server(echo) as running:
        yield running


def client(url: str, waits: list[float] | None = None, **options: Any) -> HttpClient:
    kept = [] if waits is None else waits
    return HttpClient(root=url, **{"sleep": kept.append, "timeout_s": 5.0, "retries": 3, **options})


def ask(one: HttpClient, rewards: object = (1.5, -2)) -> list[float]:
    return one.post("/v1/scores", rewards, lambda answer: numbers(answer["rewards"], 2))


PASSING: dict[str, tuple[Act, str]] = {
    "500": (faults.status(500, '{"error": "no GPU"}'), "answered 500.*no GPU"),
    "503": (faults.status(503), "answered 503"),
    "429": (faults.status(429, "slow down"), "answered 429.*slow down"),
    "rubbish": (faults.says("<html>hello"), "no JSON"),
    "no JSON at all": (faults.says("<html>hello", "text/html"), "text/html, expected JSON"),
    "empty": (faults.says(""), "no JSON"),
    "too few": (faults.says('{"rewards": [1.0]}'), "1 rewards for 2 texts"),
    "too many": (faults.says('{"rewards": [1, 2, 3]}'), "3 rewards for 2 texts"),
    "NaN": (faults.says('{"rewards": [NaN, 1]}'), "NaN is no number"),
    "infinite": (faults.says('{"rewards": [1e999, 1]}'), "expected a finite number"),
    "null": (faults.says('{"rewards": [null, 1]}'), "null for a reward"),
    "text": (faults.says('{"rewards": ["9", 1]}'), "expected a finite number"),
    "true": (faults.says('{"rewards": [true, 1]}'), "expected a finite number"),
    "too large": (faults.says('{"rewards": [1' + "0" * 400 + ", 1]}"), "expected a finite number"),
    "no list": (faults.says('{"rewards": {"0": 1}}'), "for 2 texts"),
    "too short a body": (faults.promises_more, "lied about its answer's length"),
    "too long a body": (faults.promises_less, "no JSON|lied about"),
    "hang-up": (faults.hangs_up, "broke off"),
}


@pytest.mark.parametrize("name", PASSING)
def test_a_failure_that_passes_is_asked_again(name: str, server: Faulty) -> None:
    server.script = [PASSING[name][0], PASSING[name][0]]
    waits: list[float] = []
    assert ask(client(server.url, waits)) == [1.5, -2.0]
    assert len(server.seen) == 3
    assert 0.25 <= waits[0] <= 0.5 <= waits[1] <= 1.0


@pytest.mark.parametrize("name", PASSING)
def test_a_failure_that_stays_is_one_line_that_names_it(name: str, server: Faulty) -> None:
    server.script = [PASSING[name][0]] * 9
    with pytest.raises(OutageError, match=PASSING[name][1]) as caught:
        ask(client(server.url))
    assert len(server.seen) == 4, "once, and three times more"
    message = str(caught.value)
    assert server.url in message
    assert "the same command resumes" in message
    assert "\n" not in message


@pytest.mark.parametrize("act", [faults.stalls, faults.trickles])
def test_an_answer_that_does_not_come_is_given_up_in_time(act: Act, server: Faulty) -> None:
    server.script = [act]
    one = client(server.url, timeout_s=0.3)
    assert ask(one) == [1.5, -2.0]
    server.script = [act, act]
    with pytest.raises(OutageError, match=r"no answer within 0.3 s|not done with its answer after 0.3 s"):
        ask(client(server.url, timeout_s=0.3, retries=1))


def test_no_server_is_one_line() -> None:
    with pytest.raises(OutageError, match="cannot be reached"):
        ask(client(f"http://127.0.0.1:{free_port()}"))


def _in_three_seconds() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)


@pytest.mark.parametrize(("value", "low", "high"), [(lambda: "2", 2.0, 2.0), (_in_three_seconds, 1.5, 3.0)])
def test_retry_after_is_waited_for(value: Callable[[], str], low: float, high: float, server: Faulty) -> None:
    server.script = [faults.status(429, Retry_After=value())]
    waits: list[float] = []
    ask(client(server.url, waits))
    assert low <= waits[0] <= high


@pytest.mark.parametrize("value", ["soon", "-3", "Wed, 99 Foo 2020"])
def test_a_retry_after_that_says_nothing_is_a_wait_like_any(value: str, server: Faulty) -> None:
    server.script = [faults.status(503, Retry_After=value)]
    waits: list[float] = []
    ask(client(server.url, waits))
    assert 0.25 <= waits[0] <= 0.5


def test_a_wait_that_would_take_too_long_is_not_begun(server: Faulty) -> None:
    server.script = [faults.status(429, Retry_After="3600")]
    waits: list[float] = []
    with pytest.raises(OutageError, match="asks for a wait of 3600 s"):
        ask(client(server.url, waits, give_up_s=60.0))
    assert waits == []


def test_waits_are_the_same_for_the_same_seed(server: Faulty) -> None:
    first: list[float] = []
    second: list[float] = []
    for waits in (first, second):
        server.script = [faults.status(500)] * 3
        ask(client(server.url, waits))
    assert first == second
    assert len(set(first)) == 3


REFUSALS = {
    401: "rm.remote.key_env",
    403: "rm.remote.key_env",
    404: "rm.remote.protocol",
    413: "Lower rm.remote.batch",
    400: r"\[rm.remote\]",
}


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_is_an_error_at_once_and_says_what_to_do(code: int, server: Faulty) -> None:
    server.script = [faults.status(code, '{"error": "no"}')]
    with pytest.raises(RemoteError, match=REFUSALS[code]):
        ask(client(server.url))
    assert len(server.seen) == 1


def test_a_redirect_is_not_followed(server: Faulty) -> None:
    server.script = [faults.status(307, Location="http://127.0.0.1:1/elsewhere")]
    with pytest.raises(RemoteError, match=r"redirect to 'http://127\.0\.0\.1:1/elsewhere'"):
        ask(client(server.url, key=KEY))
    assert len(server.seen) == 1


def test_the_key_is_sent_and_shown_to_nobody(server: Faulty) -> None:
    one = client(server.url, key=KEY)
    ask(one)
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(one)
    for code in (401, 500):
        server.script = [faults.status(code, f'{{"error": "wrong key {KEY}"}}')] * 9
        with pytest.raises(RemoteError, match=r"wrong key \[key\]") as caught:
            ask(one)
        assert KEY not in str(caught.value)


def test_a_key_that_is_missing_or_no_name_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(ConfigError, match="NO_SUCH_KEY"):
        key_from("NO_SUCH_KEY")
    with pytest.raises(ConfigError, match="never the key itself") as caught:
        key_from(KEY)
    assert KEY not in str(caught.value)
    monkeypatch.setenv("A_KEY", f" {KEY}\n")
    assert key_from("A_KEY") == KEY


@pytest.mark.parametrize("url", ["http://", "http://[::1", "http://:80"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="is no address"):
        client(url)


def test_connections_are_used_again(server: Faulty) -> None:
    one = client(server.url)
    for _ in range(5):
        ask(one)
    assert server.connections == 1


def test_the_ceiling_on_requests_counts_those_that_fail(server: Faulty) -> None:
    server.script = [faults.status(500)]
    one = client(server.url, meter=Meter(max_requests=3))
    ask(one)
    ask(one)
    with pytest.raises(BudgetExceededError, match="max_requests=3 is reached: 3 requests"):
        ask(one)
    assert len(server.seen) == 3


def test_the_ceiling_on_cost_is_never_passed_and_counts_what_was_used() -> None:
    def answer(path: str, payload: Any) -> Any:
        return {**echo(path, payload), "usage": {"total_tokens": 400}}

    with faulty_server(answer) as server:
        one = client(server.url, meter=Meter(max_cost=1.0, price_per_1k_tokens=1.0))
        for _ in range(2):
            one.post("/v1/scores", [1, 2], lambda answer: answer, tokens=300)
        with pytest.raises(
            BudgetExceededError, match=r"would pass rm.remote.max_cost=1: 2 requests, 800 tokens, cost 0.8"
        ):
            one.post("/v1/scores", [1, 2], lambda answer: answer, tokens=300)
        assert len(server.seen) == 2
    assert one.meter.cost == pytest.approx(0.8)


def test_an_answer_that_was_no_answer_still_counts_as_paid_and_a_refusal_does_not(server: Faulty) -> None:
    one = client(server.url, meter=Meter(max_cost=100.0, price_per_1k_tokens=1.0))
    for act, paid in ((faults.says("rubbish"), 600), (faults.status(429), 300)):
        server.script, before = [act], one.meter.tokens
        one.post("/v1/scores", [1, 2], lambda answer: answer, tokens=300)
        assert one.meter.tokens - before == paid


def test_a_text_that_is_no_valid_unicode_can_be_sent(server: Faulty) -> None:
    assert client(server.url).post("/v1/scores", "a\ud800", lambda answer: answer["rewards"]) == "a\ud800"


def test_a_rate_limit_holds_in_every_minute_and_does_not_wait_for_nothing() -> None:
    now = [100.0]
    limiter = RateLimiter(per_minute=30, clock=lambda: now[0])
    times = []
    for _ in range(100):
        now[0] += limiter.reserve()
        times.append(now[0])
    assert max(sum(start <= t < start + 60 for t in times) for start in times) <= 30
    assert times[0] == 100.0
    assert times[-1] == pytest.approx(100.0 + 99 * 2)
    now[0] += 1000
    assert limiter.reserve() == 0, "what was not used is not owed"
    assert limiter.reserve() == 2, "and not saved up"


def test_the_client_keeps_to_its_rate(server: Faulty) -> None:
    waits: list[float] = []
    one = client(server.url, waits, limiter=RateLimiter(per_minute=60, clock=lambda: 0.0))
    for _ in range(3):
        ask(one)
    assert waits == [1.0, 2.0]


def test_parallel_work_keeps_its_order_and_is_at_most_so_many_at_once() -> None:
    running, most, lock = 0, 0, threading.Lock()
    released = threading.Event()

    def work(item: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if running == 4:
                released.set()
        assert released.wait(5)
        with lock:
            running -= 1
        return item * item

    assert in_parallel(work, range(40), at_once=4) == [n * n for n in range(40)]
    assert most == 4


def test_an_error_in_parallel_does_not_wait_for_what_is_under_way() -> None:
    forever = threading.Event()
    begun = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 1:
            raise ValueError("one")
        forever.wait(20)
        return item

    with pytest.raises(ValueError, match="one"):
        in_parallel(work, range(100), at_once=3)
    assert len(begun) <= 4
    forever.set()
