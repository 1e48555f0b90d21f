"""What every request passes before a page is made: right host, right token, right origin, not too long.

The address holds a token; the first page that is asked for with it sets a cookie and drops it from the address. A Host
header that is not ours means DNS rebinding, a POST from another origin another site's form; both are refused.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Awaitable, Callable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 256 * 1024
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
REFUSED_TOKEN = "This page needs the link that rmminer review printed, with its token.\n"
_NO_BODY = ("GET", "HEAD")


class Guard:
    """An ASGI application behind the checks. ``scope["nonce"]`` is what this answer's own scripts and styles carry."""

    def __init__(self, app: ASGIApp, *, token: str, hosts: tuple[str, ...]) -> None:
        self._app, self._token, self._hosts = app, token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["nonce"] = nonce = secrets.token_urlsafe(16)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _safe_headers(nonce).items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send_guarded)
            return
        await self._app(scope, _bounded(receive), send_guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        name, _, port = host.rpartition(":") if re.search(r":\d+$", host) else (host, "", "")
        if name.lower() not in self._hosts:
            return PlainTextResponse("This is not the address that rmminer review printed.\n", 421)
        cookie = f"rmminer-{port or 80}"
        if (given := _query_token(scope)) is not None and scope["method"] in _NO_BODY:
            return self._with_cookie(scope, cookie) if self._is_ours(given) else _refused()
        if not self._is_ours(_cookie(headers.get("cookie", ""), cookie)):
            return _refused()
        if scope["method"] not in (*_NO_BODY, "POST"):
            return PlainTextResponse("Only GET and POST are answered.\n", 405)
        if scope["method"] == "POST" and headers.get("origin") != f"{scope.get('scheme', 'http')}://{host}":
            return PlainTextResponse("Posts are taken from these pages alone.\n", 403)
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdecimal() or int(length) > MAX_BODY:
            return PlainTextResponse(f"More than {MAX_BODY} bytes are not taken.\n", 413)
        return None

    def _with_cookie(self, scope: Scope, cookie: str) -> Response:
        """To the same address without the token, which is a cookie from now on."""
        kept = [pair for pair in parse_qsl(scope["query_string"].decode("latin-1")) if pair[0] != "token"]
        path = "/" + scope["raw_path"].decode("latin-1").lstrip("/\\")
        answer = RedirectResponse(f"{path}?{urlencode(kept)}" if kept else path, 303)
        answer.set_cookie(cookie, self._token, httponly=True, samesite="lax")
        return answer

    def _is_ours(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token.encode())


def _refused() -> Response:
    return PlainTextResponse(REFUSED_TOKEN, 403)


def _query_token(scope: Scope) -> str | None:
    return dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("token")


def _cookie(header: str, name: str) -> str:
    try:
        morsel = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _bounded(receive: Receive) -> Callable[[], Awaitable[Message]]:
    """``receive`` that breaks off where a body without a stated length grows too long."""
    read = 0

    async def bounded() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        return {"type": "http.disconnect"} if read > MAX_BODY else message

    return bounded


def _safe_headers(nonce: str) -> dict[str, str]:
    own = f"'nonce-{nonce}'"
    return {
        "content-security-policy": (
            f"default-src 'none'; script-src {own}; style-src {own}; connect-src 'self'; img-src data:; "
            "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        ),
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-store",
    }
