"""The pages against those who mean ill: other sites, other hosts, hostile texts, and whatever may be asked."""

from __future__ import annotations

import asyncio
import http.client
import random
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, urlencode

import httpx2
import pytest

from corpus import Corpus
from corpus.records import Message, Verdict
from miner.reviewing.app import ReviewPages
from miner.reviewing.items import ReviewPlan
from scripts.drills import samples
from tests.reporting.samples import HOSTILE
from tests.reviewing.conftest import TOKEN, Reviewing

PAGES = ("/", "/findings", "/groups", "/compare", "/live", "/review/verdicts?reviewer=Ann", "/static/review.js",
         "/finding/0", "/review/verdicts/reveal/0?reviewer=Ann", "/nothing")  # fmt: skip
EVIL = (*HOSTILE, "</textarea></form><script>alert(1)</script>", "';alert(1)//", "a" * 1_000_000,
        "</style><style>body{display:none}</style>", "=HYPERLINK(1)", "\x1b[2J", "\u200b\u202e\u2066")  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("way", ["nothing", "wrong token", "wrong cookie", "HEAD"])
def test_without_the_token_there_is_nothing(reviewing: Reviewing, page: str, way: str) -> None:
    with httpx2.Client(base_url=reviewing.url, trust_env=False) as stranger:
        sign = "&" if "?" in page else "?"
        path = page + (f"{sign}token=wrong" if way == "wrong token" else "")
        cookie = {"cookie": f"rmminer-{reviewing.url.rpartition(':')[2]}=wrong"} if way == "wrong cookie" else {}
        reply = stranger.request("HEAD" if way == "HEAD" else "GET", path, headers=cookie)
    assert reply.status_code == 403
    assert TOKEN not in reply.text
    assert "Ann" not in reply.text


def test_the_token_leaves_the_address_and_no_script_reads_it(reviewing: Reviewing) -> None:
    with httpx2.Client(base_url=reviewing.url, trust_env=False) as browser:
        reply = browser.get(f"/findings?token={TOKEN}&attack=gcg")
    assert (reply.status_code, reply.headers["location"]) == (303, "/findings?attack=gcg")
    assert "HttpOnly" in reply.headers["set-cookie"]
    assert "SameSite=lax" in reply.headers["set-cookie"]


@pytest.mark.parametrize("path", ["//evil.example", "/\\evil.example", "//evil.example/%2e%2e", "/%2f/evil.example"])
def test_the_way_back_leads_nowhere_else(reviewing: Reviewing, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", int(reviewing.url.rpartition(":")[2]), timeout=10)
    connection.request("GET", f"{path}?token={TOKEN}")
    location = connection.getresponse().getheader("location") or ""
    connection.close()
    assert re.match(r"/(?![/\\])", location)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "127.0.0.1@evil"])
def test_dns_rebinding_is_refused(reviewing: Reviewing, host: str) -> None:
    reply = reviewing.client.get("/", headers={"host": host})
    assert reply.status_code in (400, 421)
    assert "findings" not in reply.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"referer": "http://evil.example/"},
    ],
)
def test_another_sites_post_is_refused(reviewing: Reviewing, headers: dict[str, str]) -> None:
    values = {"reviewer": "Ann", "item": reviewing.open(), "verdict": "nonsense", "showing": "1"}
    assert reviewing.client.post("/review/verdicts", data=values, headers=headers).status_code == 403
    assert reviewing.client.get(f"/review/verdicts?{urlencode(values)}").status_code == 200
    assert reviewing.room.journal.all() == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_other_methods_are_refused(reviewing: Reviewing, method: str) -> None:
    assert reviewing.client.request(method, "/", headers={"origin": reviewing.url}).status_code == 405


def test_a_body_that_is_too_long_is_refused_with_and_without_its_length(reviewing: Reviewing) -> None:
    headers = {"origin": reviewing.url, "content-type": "application/x-www-form-urlencoded"}
    long = b"comment=" + b"a" * 400_000
    assert reviewing.client.post("/review/verdicts", content=long, headers=headers).status_code == 413
    with pytest.raises(httpx2.HTTPError):
        reviewing.client.post("/review/verdicts", content=iter([long[:1000]] * 400), headers=headers).raise_for_status()
    assert reviewing.get("/live").json()["reviews"] == 0


@pytest.mark.parametrize(
    "path",
    ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static/%2fetc%2fpasswd", "/static/app.py",
     "/static/templates%2fbase.html.jinja", "/finding/..%2f..%2fsummary.json"],
)  # fmt: skip
def test_no_file_but_ours_is_served(reviewing: Reviewing, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", int(reviewing.url.rpartition(":")[2]), timeout=10)
    connection.request("GET", path, headers={"cookie": f"rmminer-{reviewing.url.rpartition(':')[2]}={TOKEN}"})
    reply = connection.getresponse()
    assert reply.status == 404
    assert b"import" not in reply.read()
    connection.close()


def test_every_answer_forbids_what_is_not_ours(reviewing: Reviewing) -> None:
    nonces = set()
    for page in PAGES:
        headers = reviewing.get(page).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        nonces.update(re.findall(r"script-src 'nonce-([^']+)'", policy))
    assert len(nonces) == len(PAGES)


class _Page(HTMLParser):
    """What a browser would run or load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "style", "img", "iframe", "object", "base", "meta", "link", "svg"):
            self.found.append(f"{tag} {given.get('src') or given.get('href') or given.get('name') or ''}")
        self.found += [name for name in given if name.startswith("on") or name in ("style", "srcdoc")]
        address = given.get("href") or given.get("action") or given.get("formaction") or "/"
        if not address.startswith(("/", "#", "data:,")) or address.startswith("//"):
            self.found.append(address)


def assert_harmless(html: str) -> None:
    allowed = {"meta ", "meta viewport", "meta color-scheme", "link data:,", "link /static/review.css",
               "script /static/review.js"}  # fmt: skip
    assert set(_Page(html).found) <= allowed
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u200b\u202a-\u202e\u2066-\u2069\ufeff]", html)


@pytest.fixture
def hostile(serve: Callable[..., Reviewing], tmp_path: Path) -> Reviewing:
    """A corpus with every hostile text in every field that is text."""
    corpus = Corpus(tmp_path / "hostile" / "corpus")
    for number, text in enumerate(EVIL):
        certificate = (
            Verdict(check=text[:500], verdict="nonsense", value=1.0, threshold=0.5, calibration_id=text[:50]),
        )
        fields = dict.fromkeys(
            ("attack", "family", "form", "campaign_id", "rm_fingerprint", "code_version"), text[:5000]
        )
        corpus.append(
            samples.finding(
                number,
                response=text,
                reference=f"{text} and a good answer with at least eight different words here",
                prompt=(Message(role=text[:500], content=text),),
                prompt_id=f"prompt {number}",
                certificate=certificate,
                **fields,
            )
        )
        corpus.append(
            samples.review(number, comment=text, reviewer=text[:500], item_id=corpus.findings()[-1].finding_id)
        )
    return serve(tmp_path / "hostile", plan=ReviewPlan(n=40))


def test_hostile_text_in_every_field_stays_text(hostile: Reviewing) -> None:
    found = hostile.room.corpus.findings()
    paths = ["/", "/findings?order=newest", "/compare", "/groups"]
    paths += [f"/finding/{quote(one.finding_id, safe='')}" for one in found]
    paths += [
        f"/review/{mode}?reviewer=Ann&item={quote(one.finding_id)}" for one in found for mode in ("verdicts", "pairs")
    ]
    assert len(paths) > 30
    for path in paths:
        reply = hostile.get(path)
        assert reply.status_code == 200, path
        assert_harmless(reply.text)


def test_whatever_is_asked_is_answered_and_nothing_comes_back_as_markup(hostile: Reviewing) -> None:
    rng, statuses, looked_at = random.Random(0), set(), 0
    ids = [one.finding_id for one in hostile.room.corpus.findings()]
    words = [*(text[:300] for text in EVIL), *ids, "1", "-1", "0", "1e9", "9" * 400, "", "verdicts", "pairs", "undo",
             "nonsense", "gold", "near_misses", "merge", "Ann", "%00", "..", "\ud800", "NaN", "inf"]  # fmt: skip
    names = ("reviewer", "item", "verdict", "comment", "showing", "seconds", "page", "text", "attack", "form", "round",
             "order", "group", "split", "rm_fingerprint")  # fmt: skip
    routes = ("/", "/live", "/findings", "/finding/{}", "/compare", "/groups", "/review/{}", "/review/verdicts",
              "/review/{}/reveal/{}", "/review/verdicts/reveal/{}", "/static/{}", "/{}")  # fmt: skip
    likely = {"reviewer": "Ann", "verdict": "undo", "item": ids[1]}
    app = ReviewPages(hostile.room).app(token=TOKEN, hosts=("test",))

    def said(name: str = "") -> str:
        word = likely[name] if name in likely and rng.random() < 0.7 else rng.choice(words)
        return quote(word.encode("utf-8", "surrogatepass"), safe="")

    async def ask(n: int) -> None:
        nonlocal looked_at
        transport = httpx2.ASGITransport(app=app)  # what the application raises is raised here
        cookies = {"rmminer-80": TOKEN}
        async with httpx2.AsyncClient(transport=transport, base_url="http://test", cookies=cookies) as client:
            for _ in range(n):
                path = re.sub(r"\{\}", lambda _match: said(), rng.choice(routes))
                given = "&".join(f"{name}={said(name)}" for name in rng.sample(names, rng.randint(0, 6)))
                headers = {"x-fragment": "1"} if rng.random() < 0.5 else {}
                if rng.random() < 0.4:
                    headers |= {"origin": "http://test", "content-type": "application/x-www-form-urlencoded"}
                    reply = await client.post(path, content=given.encode(), headers=headers)
                else:
                    reply = await client.get(f"{path}?{given}", headers=headers)
                statuses.add(reply.status_code)
                assert reply.status_code < 500, (path, given, reply.text[:300])
                if "html" in reply.headers.get("content-type", ""):
                    assert_harmless(reply.text)
                    looked_at += 1

    asyncio.run(ask(5000))
    assert {200, 303, 400, 404, 405} <= statuses
    assert looked_at > 2000
    assert all(report.ok for report in hostile.room.corpus.verify())
