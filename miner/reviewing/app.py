"""The pages of ``rmminer review`` as a Starlette application. Every string that reaches one goes through ``safe_text``.

What a request names and we do not have is 404, what it gives and we cannot take is 400; a corpus that cannot be read or
written is 503. Each says so in one line, and nothing that was acknowledged is lost.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, quote, urlencode

from markupsafe import Markup
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from corpus.errors import CorpusError
from corpus.records import Finding, ReviewMode
from miner.errors import DataError, RmMinerError
from miner.reviewing.desk import Shown
from miner.reviewing.findings_index import ORDERS, PAGE_ROWS, Filters
from miner.reviewing.guard import Guard
from miner.reviewing.room import ReviewRoom
from miner.rewards.heatmap import heat_map
from miner.safe_text import mined, safe_environment

HERE = Path(__file__).parent
ASSETS = {"review.css": "text/css", "review.js": "text/javascript"}
MAX_NAME = 60
MAX_PAGE = 10**9
MAX_TEXT = 20_000  # characters shown of one text
Page = Callable[[Request, Mapping[str, str]], Response]


class ReviewPages:
    """The pages of one run; each is made in a thread of its own."""

    def __init__(self, room: ReviewRoom) -> None:
        self._room = room
        self._templates = safe_environment(HERE / "templates")
        self._templates.filters |= {"minutes": minutes, "mined": clipped}
        self._templates.globals["heat_map"] = heat_map
        self._templates.filters["query"] = lambda values: urlencode({k: v for k, v in values.items() if v != ""})

    def app(self, *, token: str, hosts: tuple[str, ...]) -> Guard:
        """The application behind its guard."""
        get, post = partial(self._route, methods=["GET"]), partial(self._route, methods=["POST"])
        routes = [
            get("/", self.overview),
            get("/live", self.live),
            get("/findings", self.findings),
            get("/finding/{id}", self.finding),
            post("/finding/{id}/attribution", self.attribute),
            get("/compare", self.compare),
            get("/groups", self.groups),
            post("/groups", self.judge_group),
            get("/review/{mode}", self.review),
            post("/review/{mode}", self.answer),
            get("/review/{mode}/reveal/{id}", self.reveal),
            get("/static/{name}", self.static),
        ]
        app = Starlette(routes=routes, exception_handlers={HTTPException: self._not_found})
        app.router.redirect_slashes = False
        return Guard(app, token=token, hosts=hosts)

    def _route(self, path: str, page: Page, methods: list[str]) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                body = await request.body() if request.method == "POST" else b""
            except ClientDisconnect:  # gone, or cut off by the guard
                return self._message(request, 413, "That is longer than is taken.")
            given = dict(request.query_params) | dict(parse_qsl(body.decode("utf-8", "replace"), True))
            return await run_in_threadpool(self._answered, page, request, given)

        return Route(path, endpoint, methods=methods)

    def _answered(self, page: Page, request: Request, given: Mapping[str, str]) -> Response:
        try:
            return page(request, given)
        except RmMinerError as error:
            return self._message(request, 400, str(error))
        except CorpusError as error:
            return self._message(request, 503, str(error))

    def _not_found(self, request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        return self._message(request, status, "There is no such page." if status == 404 else "That is not answered.")

    def _message(self, request: Request, status: int, message: str) -> Response:
        if "x-fragment" in request.headers:
            return Response(message.encode("utf-8", "replace"), status, media_type="text/plain; charset=utf-8")
        return self._page(request, "message.html.jinja", status=status, message=message)

    def _page(self, request: Request, name: str, *, status: int = 200, **context: Any) -> Response:
        html = self._templates.get_template(name).render(
            nonce=request.scope["nonce"], room=self._room, modes=MODES, **context
        )
        return HTMLResponse(html.encode("utf-8", "replace"), status)

    def static(self, request: Request, _given: Mapping[str, str]) -> Response:
        name = request.path_params["name"]
        if name not in ASSETS:
            raise HTTPException(404)
        return Response((HERE / name).read_bytes(), media_type=ASSETS[name])

    def overview(self, request: Request, given: Mapping[str, str]) -> Response:
        return self._page(request, "overview.html.jinja", reviewer=given.get("reviewer", ""), **self._room.overview())

    def live(self, _request: Request, _given: Mapping[str, str]) -> Response:
        self._room.index.refresh()
        return JSONResponse({"findings": self._room.index.count(), "reviews": len(self._room.journal.all())})

    def findings(self, request: Request, given: Mapping[str, str]) -> Response:
        index = self._room.index
        index.refresh()
        values = {name: given.get(name, "") for name in Filters.__dataclass_fields__}
        filters, order = Filters(**values), given.get("order", "margin")
        if order not in ORDERS:
            raise DataError(f"no order {order[:40]!r}; there are: {', '.join(ORDERS)}")
        count = index.count(filters)
        page = min(_whole(given.get("page", "1"), "page"), max(1, math.ceil(count / PAGE_ROWS)))
        return self._page(
            request,
            "findings.html.jinja",
            found=index.page(filters, order, page - 1),
            count=count,
            page=page,
            pages=max(1, math.ceil(count / PAGE_ROWS)),
            given=values | {"order": order},
            choices={name: index.values(name) for name in ("attack", "form", "round", "split")},
            orders=ORDERS,
            verdicts=self._room.verdicts(),
        )

    def finding(self, request: Request, _given: Mapping[str, str]) -> Response:
        found = self._found(request)
        return self._page(request, "finding.html.jinja", finding=found, **self._room.about(found))

    def attribute(self, request: Request, _given: Mapping[str, str]) -> Response:
        found = self._found(request)
        self._room.attributions.make(found)
        return RedirectResponse(f"/finding/{quote(found.finding_id, safe='')}", 303)

    def _found(self, request: Request) -> Finding:
        found = self._room.found(request.path_params["id"])
        if found is None:
            raise HTTPException(404)
        return found

    def compare(self, request: Request, given: Mapping[str, str]) -> Response:
        pair = self._room.compare(given.get("first", ""), given.get("second", ""))
        return self._page(request, "compare.html.jinja", comparison=self._room.rms(), **pair)

    def review(self, request: Request, given: Mapping[str, str]) -> Response:
        desk, reviewer = self._room.desk(_mode(request)), _name(given)
        shown = desk.show(reviewer, given["item"]) if given.get("item") else desk.next(reviewer)
        return self._desk_page(request, reviewer, shown)

    def answer(self, request: Request, given: Mapping[str, str]) -> Response:
        desk, reviewer = self._room.desk(_mode(request)), _name(given)
        if given.get("verdict") == "undo":
            return self._then(request, reviewer, desk.undo(reviewer) or desk.next(reviewer))
        desk.answer(
            reviewer,
            given.get("item", ""),
            given.get("verdict", ""),
            seconds=_seconds(given.get("seconds", "0")),
            comment=_text(given.get("comment", "")),
            showing=given.get("showing", "")[:100],
        )
        return self._then(request, reviewer, None)

    def _then(self, request: Request, reviewer: str, shown: Shown | None) -> Response:
        """What comes next: as part of the page for our script, else by way of its address."""
        mode = _mode(request)
        if "x-fragment" in request.headers:
            return self._desk_page(request, reviewer, shown or self._room.desk(mode).next(reviewer), "item.html.jinja")
        where = {"reviewer": reviewer} | ({"item": shown.item.item_id} if shown else {})
        return RedirectResponse(f"/review/{mode}?{urlencode(where)}", 303)

    def _desk_page(
        self, request: Request, reviewer: str, shown: Shown | None, name: str = "review.html.jinja"
    ) -> Response:
        mode = _mode(request)
        desk = self._room.desk(mode)
        return self._page(
            request,
            name,
            mode=mode,
            desk=desk,
            reviewer=reviewer,
            shown=shown,
            progress=desk.progress(reviewer),
            newest=desk.newest(reviewer),
        )

    def reveal(self, request: Request, given: Mapping[str, str]) -> Response:
        """What an item was, for those who have judged it."""
        desk, reviewer = self._room.desk(_mode(request)), _name(given)
        return self._page(request, "reveal.html.jinja", shown=desk.reveal(reviewer, request.path_params["id"]))

    def groups(self, request: Request, given: Mapping[str, str]) -> Response:
        reviewer = given.get("reviewer", "")
        return self._page(request, "groups.html.jinja", groups=self._room.groups(), reviewer=reviewer)

    def judge_group(self, _request: Request, given: Mapping[str, str]) -> Response:
        reviewer = _name(given)
        self._room.judge_group(
            reviewer, given.get("group", ""), given.get("verdict", ""), _text(given.get("comment", ""))
        )
        return RedirectResponse(f"/groups?{urlencode({'reviewer': reviewer})}", 303)


MODES: dict[ReviewMode, str] = {
    "verdicts": "Verdicts",
    "pairs": "Pairs",
    "near_misses": "Near misses",
    "gold": "Gold",
}


def clipped(text: str) -> Markup:
    """A text as ``mined`` shows it; of one that would fill many screens the beginning."""
    return mined(text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]} … {len(text) - MAX_TEXT:,} characters more")


def minutes(value: float) -> str:
    """Time left as people say it."""
    if value < 1:
        return "less than a minute"
    return f"{value:.0f} min" if value < 90 else f"{value / 60:.1f} h"


def _mode(request: Request) -> ReviewMode:
    mode = request.path_params["mode"]
    if mode not in MODES:
        raise HTTPException(404)
    return cast(ReviewMode, mode)


def _name(given: Mapping[str, str]) -> str:
    """The reviewer's name, as others will read it."""
    name = " ".join(given.get("reviewer", "").split())
    hidden = any(unicodedata.category(letter).startswith("C") for letter in name)
    if not name or len(name) > MAX_NAME or hidden or not re.search(r"\w", name):
        raise DataError(f"a reviewer's name is 1 to {MAX_NAME} visible characters. Enter yours on the first page")
    return name


def _text(text: str) -> str:
    """What a form gave, as the corpus can hold it."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise DataError(f"seconds {text[:40]!r} is no number") from None
    return value if math.isfinite(value) else 0.0


def _whole(text: str, what: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text[:12]) <= MAX_PAGE:
        raise DataError(f"{what} {text[:40]!r} is no whole number from 1")
    return int(text[:12])
