"""Who may talk to the server: the browser that was given its address, and pages of this server only.

A loopback address is reachable by every page that a browser shows, and by every user of the machine. So a request needs the
token (in the address once, in a cookie from then on), the server's own name in ``Host`` (a page elsewhere may let its name mean
127.0.0.1), and where it changes something, this server as its ``Origin``.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 64 << 10
"""Bytes of a request."""
HOSTS = ("127.0.0.1", "localhost")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class TooLarge(Exception):
    """A body of more than ``MAX_BODY`` bytes."""


def too_large(_request: object, _problem: Exception) -> Response:
    """What such a request is answered."""
    return JSONResponse({"error": f"a request of more than {MAX_BODY >> 10} kB"}, 413)


class Guard:
    """ASGI middleware. See the module.

    Args:
        port: that the server listens at; 0 = any, for tests.
        token: None = a new one.

    Attributes:
        token: what the address must hold.
    """

    def __init__(self, app: ASGIApp, port: int, token: str | None = None) -> None:
        self._app, self._port = app, port
        self.token = secrets.token_urlsafe(32) if token is None else token

    @property
    def cookie(self) -> str:
        """Its name: cookies of one host are shared by all its ports."""
        return f"seg2d3d_{self._port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge a request, and pass it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no websockets here
        headers = Headers(scope=scope)
        if not self._is_own(headers.get("host", "")):
            await PlainTextResponse("wrong host", 403, HEADERS)(scope, receive, send)
            return
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        if scope["method"] == "GET" and scope["path"] == "/" and self._fits(given):
            await self._welcome(scope, receive, send)
            return
        if not self._fits(cookie_parser(headers.get("cookie", "")).get(self.cookie, "")):
            words = "open the address that `seg2d3d serve` printed, with the token in it"
            await PlainTextResponse(words, 403, HEADERS)(scope, receive, send)
            return
        if scope["method"] not in ("GET", "HEAD") and not self._is_own_origin(headers):
            await JSONResponse({"error": "asked by another page"}, 403, HEADERS)(scope, receive, send)
            return
        await self._passed(scope, receive, send)

    def _fits(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode())

    def _is_own(self, host: str) -> bool:
        name, _, port = host.partition(":")
        return name in HOSTS and (not self._port or port == str(self._port))

    def _is_own_origin(self, headers: Headers) -> bool:
        """Browsers say where a POST comes from; what says nothing is no browser's page."""
        origin = headers.get("origin")
        elsewhere = headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
        return not elsewhere and origin is not None and origin == f"http://{headers.get('host')}"

    async def _welcome(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The token goes into a cookie, and out of the address, which is seen in histories."""
        answer = RedirectResponse("/", 303, HEADERS)
        answer.set_cookie(self.cookie, self.token, httponly=True, samesite="strict", path="/")
        await answer(scope, receive, send)

    async def _passed(self, scope: Scope, receive: Receive, send: Send) -> None:
        read = 0

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MAX_BODY:
                raise TooLarge
            return message

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                known = {name for name, _ in message["headers"]}
                message = {**message, "headers": [*message["headers"], *(h for h in own if h[0] not in known)]}
            await send(message)

        length = Headers(scope=scope).get("content-length", "0")
        try:
            if not length.isdecimal() or int(length) > MAX_BODY:
                raise TooLarge
            await self._app(scope, limited, with_headers)
        except TooLarge as problem:
            await too_large(scope, problem)(scope, receive, with_headers)
