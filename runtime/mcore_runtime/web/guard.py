"""The page's doorkeeper: everything that reaches the session has passed these checks, HTTP and WebSocket alike.

A page without a token listens on loopback only. Other programs and people of this machine are trusted, other web sites
in its browser are not: a name that was pointed at 127.0.0.1 (DNS rebinding) fails the check of ``Host``; a foreign
page's requests fail those of ``Sec-Fetch-Site`` and ``Origin``, and commands are JSON, which no form can send. With a
token the cookie does the same work, because browsers keep it from other sites and names.
"""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcore_runtime.web.asking import Refusal, again, read_body
from mcore_runtime.web.keys import Keys
from mcore_runtime.web.limits import RateLimit, client_of
from mcore_runtime.web.login import PUBLIC, Login

_SAFE = ("GET", "HEAD")
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^:\[\]]+))(?::\d{1,5})?")
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # "no-referrer" would make browsers send "Origin: null" with our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
"""Of every answer."""


class Guard:
    """Checks requests, and passes on those that are allowed.

    Args:
        app: what is guarded.
        keys: the token's; None: there is none, and ``names`` must be given.
        names: host names under which the page may be asked for; None: any, since a cookie belongs to one name.
        cookie_name: of the cookie, different for each port of a machine.
    """

    def __init__(self, app: ASGIApp, keys: Keys | None, names: frozenset[str] | None, cookie_name: str) -> None:
        if keys is None and names is None:
            raise ValueError("a page without a token needs its host names")
        self._app, self._keys, self._names, self._cookie_name = app, keys, names, cookie_name
        self._requests = RateLimit(burst=400, per_second=60)
        self._commands = RateLimit(burst=20, per_second=5)
        self._login = None if keys is None else Login(keys, cookie_name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have it answered."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        is_http = scope["type"] == "http"
        secured = _with_headers(send) if is_http else send
        try:
            answer = await self._check(scope, receive)
            if is_http and answer is None and scope["method"] not in _SAFE:
                receive = again(await read_body(Headers(scope=scope), receive), receive)
        except Refusal as refusal:
            answer = _answer(scope, refusal)
        if answer is None:
            await self._app(scope, receive, secured)
        elif is_http:
            await answer(scope, receive, secured)
        else:
            await receive()  # websocket.connect
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: the client sees 403

    async def _check(self, scope: Scope, receive: Receive) -> Response | None:
        """Return the answer if the app is not to give it; raises ``Refusal``."""
        headers = Headers(scope=scope)
        host = _host(headers)
        if self._names is not None and _name(host) not in self._names:
            raise Refusal(403, f"this page answers to {', '.join(sorted(self._names))} only")
        client = client_of(scope["client"][0] if scope.get("client") else "")
        if not self._requests.allows(client):
            raise Refusal(429, "too many requests", 1)
        _check_origin(scope, headers, host)
        if self._login is not None and not self._is_known(headers, client):
            if scope["type"] == "http" and (answer := await self._login.answer(scope, receive, client)) is not None:
                return answer
            if scope["path"] not in PUBLIC:
                raise Refusal(401, "log in first, or send the header Authorization: Bearer TOKEN")
        elif scope["path"] == "/login" or (scope["path"] == "/" and b"token=" in scope["query_string"]):
            return RedirectResponse("/", 303)
        if scope["type"] == "http" and scope["method"] not in _SAFE:
            if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
                raise Refusal(415, "send JSON, with the header Content-Type: application/json")
            if not self._commands.allows(client):
                raise Refusal(429, "too many commands", 1)
        return None

    def _is_known(self, headers: Headers, client: str) -> bool:
        """Whether a request brings the cookie, or the token itself as programs do."""
        assert self._keys is not None
        assert self._login is not None
        if any(self._keys.is_cookie(value) for value in _cookies(headers, self._cookie_name)):
            return True
        kind, _, token = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and self._login.is_token(token.strip(), client)


def _check_origin(scope: Scope, headers: Headers, host: str) -> None:
    """Refuse what a page of another site asks for; browsers say so, and other programs say nothing."""
    opens_page = scope["type"] == "http" and scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not opens_page:
        raise Refusal(403, "another site asked for this")
    origins = headers.getlist("origin")
    if origins and origins != [f"http://{host}"] and origins != [f"https://{host}"]:
        raise Refusal(403, "a page of another origin asked for this")


def _host(headers: Headers) -> str:
    hosts = headers.getlist("host")
    if len(hosts) != 1:
        raise Refusal(400, "a request needs one Host header")
    return hosts[0].lower()


def _name(host: str) -> str:
    """A Host header without its port and brackets; empty where it is none."""
    match = _HOST.fullmatch(host)
    return "" if match is None else match[1] or match[2]


def _cookies(headers: Headers, name: str) -> list[str]:
    pairs = (part.strip().partition("=") for line in headers.getlist("cookie") for part in line.split(";"))
    return [value for key, _, value in pairs if key == name]


def _answer(scope: Scope, refusal: Refusal) -> Response:
    headers = {} if refusal.retry_s is None else {"retry-after": str(refusal.retry_s)}
    wants_page = "text/html" in Headers(scope=scope).get("accept", "")
    if refusal.status == 401 and wants_page:
        return RedirectResponse("/login", 303)
    return JSONResponse({"error": refusal.text}, refusal.status, headers)


def _with_headers(send: Send) -> Send:
    extra = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def secured(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message["headers"]}
            kept = () if b"cache-control" in given else ((b"cache-control", b"no-store"),)
            message = {**message, "headers": [*message["headers"], *extra, *kept]}
        await send(message)

    return secured
