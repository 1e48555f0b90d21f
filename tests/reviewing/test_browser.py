"""The pages in a real browser: keys, two reviewers, reload, the way back, a phone, the dark."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tarfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from miner.judging.reviews import standing
from tests.reviewing.conftest import TOKEN, Reviewing

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on this machine")
AXE = "axe-core@4.10.3"
SCREENSHOTS = os.environ.get("RMMINER_SCREENSHOTS")  # a folder to look at
# until the next item is shown, from the key: the mutation of the stage is what the eye sees
TIMED = """() => new Promise(done => {
  const began = performance.now();
  const shown = () => requestAnimationFrame(() => done(performance.now() - began));
  new MutationObserver((_, seen) => { seen.disconnect(); shown(); })
    .observe(document.getElementById('stage'), { childList: true });
  document.body.dispatchEvent(new KeyboardEvent('keydown', { key: '1', bubbles: true }));
})"""
UNNAMED = """() => [...document.querySelectorAll('button, a, input:not([type=hidden]), select, textarea, progress')]
  .filter(one => !(one.innerText || one.ariaLabel || one.getAttribute('aria-label') || one.labels?.length || one.alt))
  .map(one => one.outerHTML)"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with sync_api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
            yield browser
            browser.close()


@pytest.fixture
def opened(chromium: Any, reviewing: Reviewing) -> Iterator[Callable[..., Any]]:
    """Opens a page as one who has the link; what the browser complains of fails the test."""
    contexts, complaints = [], []

    def open_page(path: str, **options: Any) -> Any:
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console",
            lambda said: complaints.append(said.text) if said.type == "error" and "503" not in said.text else None,
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{reviewing.url}{path}{'&' if '?' in path else '?'}token={TOKEN}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def press(page: Any, key: str) -> None:
    """A key, and the wait until what it does is done."""
    before = page.input_value("#judge [name=showing]")
    page.keyboard.press(key)
    page.wait_for_function("before => document.querySelector('#judge [name=showing]')?.value !== before", arg=before)


def item(page: Any) -> str:
    return str(page.input_value("#judge [name=item]"))


def verdicts(reviewing: Reviewing, reviewer: str = "Ann") -> list[str]:
    given = standing(reviewing.room.journal.all(), "verdicts")
    return [one.verdict for one in given if one.reviewer == reviewer]


def test_it_is_all_done_with_keys(opened: Callable[..., Any], reviewing: Reviewing) -> None:
    page = opened("/review/verdicts?reviewer=Ann")
    first = item(page)
    for key in "123":
        press(page, key)
    assert verdicts(reviewing) == ["nonsense", "sensible", "cannot_tell"]
    press(page, "u")
    assert verdicts(reviewing) == ["nonsense", "sensible"]
    page.keyboard.press("c")
    page.keyboard.type("why 1 and 2?")
    page.keyboard.press("Escape")
    press(page, "2")
    assert reviewing.room.journal.all()[-1].comment == "why 1 and 2?"
    assert reviewing.room.journal.all()[0].item_id == first
    assert 0 < reviewing.room.journal.all()[0].seconds < 60
    page.keyboard.press("w")
    page.wait_for_selector("#revealed .reveal")
    page.keyboard.press("?")
    assert page.is_visible("#help")
    page.keyboard.press("1")
    page.keyboard.press("Escape")
    assert len(verdicts(reviewing)) == 3
    page.keyboard.press("Control+1")
    page.keyboard.press("9")
    assert len(verdicts(reviewing)) == 3


def test_two_reviewers_at_once(opened: Callable[..., Any], reviewing: Reviewing) -> None:
    ann, bob = opened("/review/verdicts?reviewer=Ann"), opened("/review/verdicts?reviewer=Bob")
    for _ in range(4):
        press(ann, "1")
        press(bob, "2")
    assert verdicts(reviewing, "Ann") == ["nonsense"] * 4
    assert verdicts(reviewing, "Bob") == ["sensible"] * 4


def test_a_reload_and_the_way_back_lose_nothing(opened: Callable[..., Any], reviewing: Reviewing) -> None:
    page = opened("/review/verdicts?reviewer=Ann")
    press(page, "1")
    shown = item(page)
    page.reload()
    assert item(page) == shown
    page.click(".top nav a[href='/findings']")
    page.go_back()
    page.wait_for_selector("#judge")
    assert item(page) == shown
    press(page, "1")
    assert len(verdicts(reviewing)) == 2


def test_when_the_server_is_gone_that_is_said_and_nothing_seems_stored(
    opened: Callable[..., Any], reviewing: Reviewing
) -> None:
    page = opened("/review/verdicts?reviewer=Ann")
    shown = item(page)
    page.route("**/review/verdicts*", lambda route: route.fulfill(status=503, body="cannot write: disk full"))
    page.keyboard.press("1")
    page.wait_for_selector("#trouble:not([hidden])")
    assert "Not stored: cannot write: disk full" in page.inner_text("#trouble")
    assert item(page) == shown
    page.unroute("**/review/verdicts*")
    press(page, "1")
    assert page.is_hidden("#trouble")
    assert verdicts(reviewing) == ["nonsense"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1200, 860), (390, 844)])
def test_every_page_fits_its_screen_and_names_its_controls(
    opened: Callable[..., Any], reviewing: Reviewing, scheme: str, width: int, height: int
) -> None:
    for verdict in ("nonsense", "sensible", "nonsense"):
        reviewing.answer(verdict)
    one = reviewing.room.corpus.findings()[2].finding_id
    page = opened("/?reviewer=Ann", viewport={"width": width, "height": height}, color_scheme=scheme)
    for name, path in {
        "overview": "/?reviewer=Ann", "review": "/review/verdicts?reviewer=Ann", "pairs": "/review/pairs?reviewer=Ann",
        "findings": "/findings", "finding": f"/finding/{one}", "compare": "/compare", "groups": "/groups",
    }.items():  # fmt: skip
        page.goto(f"{reviewing.url}{path}")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name
        assert page.evaluate(UNNAMED) == [], name
        assert page.locator("main").count() == page.locator("h1").count() == 1, name
        if SCREENSHOTS:
            page.screenshot(path=Path(SCREENSHOTS) / f"{name}-{scheme}-{width}.png", full_page=name != "review")


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core from the npm registry."""
    npm, folder = shutil.which("npm"), tmp_path_factory.mktemp("axe")
    if npm is None:
        pytest.skip("no npm to fetch axe-core with")
    done = subprocess.run([npm, "pack", "--silent", AXE], cwd=folder, capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.skip(f"npm cannot fetch {AXE}: {done.stderr.strip()[-200:]}")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member
        return member.read().decode("utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(opened: Callable[..., Any], reviewing: Reviewing, axe: str, scheme: str) -> None:
    for verdict in ("nonsense", "sensible", "nonsense"):
        reviewing.answer(verdict)
    one = reviewing.room.corpus.findings()[12].finding_id
    page = opened("/?reviewer=Ann", color_scheme=scheme)
    found = {}
    for path in ("/?reviewer=Ann", "/review/verdicts?reviewer=Ann", "/review/pairs?reviewer=Ann", "/findings",
                 f"/finding/{one}", "/compare", "/groups"):  # fmt: skip
        page.goto(f"{reviewing.url}{path}")
        page.evaluate(axe)
        said = page.evaluate("async () => (await axe.run()).violations")
        found[path] = [
            (rule["id"], rule["nodes"][0]["html"][:120]) for rule in said if rule["impact"] in ("serious", "critical")
        ]
    assert len(found) == 7
    assert {path: rules for path, rules in found.items() if rules} == {}


def test_the_next_item_is_there_at_once(opened: Callable[..., Any]) -> None:
    page = opened("/review/verdicts?reviewer=Ann")
    took = [page.evaluate(TIMED) for _ in range(30)]
    print(f"from key to next item: median {statistics.median(took):.0f} ms, {min(took):.0f} to {max(took):.0f}")
    assert statistics.median(took) < 1000  # 77 were measured; a slow machine is no failure
