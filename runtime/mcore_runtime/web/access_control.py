"""Access control of the page: everything that reaches the session has passed these checks, HTTP and WebSocket alike.

A page without a token listens on loopback only. Other programs and people of this machine are trusted, other web sites
in its browser are not: a name that was pointed at 127.0.0.1 (DNS rebinding) fails the check of ``Host``; a foreign
page's requests fail those of ``Sec-Fetch-Site`` and ``Origin``, and commands are JSON, which no form can send. With a
token the cookie does the same work, because browsers keep it from other sites and names.
"""

from __future__ import annotations

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcore_runtime.access_token import AccessToken
from mcore_runtime.address import host_name
from mcore_runtime.limited_listener import client_of
from mcore_runtime.web.limits import RateLimit, Refusal, read_body
from mcore_runtime.web.login import PAGES, PUBLIC, Login

_SAFE = ("GET", "HEAD")
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
"""Headers of every answer."""


class AccessControl:
    """Middleware that checks requests, and passes on those that are allowed.

    Starlette's TrustedHostMiddleware is not used: it takes the first of several ``Host`` headers.

    Args:
        app: what is protected.
        token: None: there is none, and ``names`` must be given.
        names: host names under which the page may be asked for; None: any, since a cookie belongs to one name.
        cookie_name: of the cookie, different for each port of a machine.
    """

    def __init__(self, app: ASGIApp, token: AccessToken | None, names: frozenset[str] | None, cookie_name: str) -> None:
        if token is None and names is None:
            raise ValueError("a page without a token needs its host names")
        self._app, self._token, self._names, self._cookie_name = app, token, names, cookie_name
        self._requests = RateLimit(burst=400, per_second=60)
        self._commands = RateLimit(burst=20, per_second=5)
        self._login = None if token is None else Login(token, cookie_name)

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
                receive = _replay(await read_body(Request(scope, receive)), receive)
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
        connection = HTTPConnection(scope)
        host = _host(connection)
        if self._names is not None and host_name(host) not in self._names:
            raise Refusal(403, f"this page answers to {', '.join(sorted(self._names))} only")
        client = client_of(connection.client.host if connection.client else "")
        if not self._requests.allows(client):
            raise Refusal(429, "too many requests", 1)
        _check_origin(connection, host)
        if self._login is not None and not self._is_known(connection, self._login, client):
            if scope["type"] == "http":
                answer = await self._login.answer(Request(scope, receive), client)
                if answer is not None:
                    return answer
            if scope["path"] not in PUBLIC:
                raise Refusal(401, "log in first, or send the header Authorization: Bearer TOKEN")
        elif scope["path"] == "/login" or (scope["path"] in PAGES and b"token=" in scope["query_string"]):
            return RedirectResponse("/" if scope["path"] == "/login" else scope["path"], 303)
        if scope["type"] == "http" and scope["method"] not in _SAFE:
            if connection.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
                raise Refusal(415, "send JSON, with the header Content-Type: application/json")
            if not self._commands.allows(client):
                raise Refusal(429, "too many commands", 1)
        return None

    def _is_known(self, connection: HTTPConnection, login: Login, client: str) -> bool:
        """Return whether a request brings the cookie, or the token itself as programs do."""
        cookie = connection.cookies.get(self._cookie_name, "")
        if self._token is not None and self._token.is_cookie(cookie):
            return True
        kind, _, token = connection.headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and login.is_token(token.strip(), client)


def _check_origin(connection: HTTPConnection, host: str) -> None:
    """Refuse what a page of another site asks for; browsers say so, and other programs say nothing."""
    scope, headers = connection.scope, connection.headers
    opens_page = scope["type"] == "http" and scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not opens_page:
        raise Refusal(403, "another site asked for this")
    origins = headers.getlist("origin")
    if origins and origins != [f"http://{host}"] and origins != [f"https://{host}"]:
        raise Refusal(403, "a page of another origin asked for this")


def _host(connection: HTTPConnection) -> str:
    hosts = connection.headers.getlist("host")
    if len(hosts) != 1:
        raise Refusal(400, "a request needs one Host header")
    return hosts[0].lower()


def _answer(scope: Scope, refusal: Refusal) -> Response:
    headers = {} if refusal.retry_s is None else {"retry-after": str(refusal.retry_s)}
    wants_page = "text/html" in HTTPConnection(scope).headers.get("accept", "")
    if refusal.status == 401 and wants_page:
        return RedirectResponse("/login", 303)
    return JSONResponse({"error": refusal.text}, refusal.status, headers)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that gives a body that was read already, and then what comes after it."""
    waiting = [body]

    async def give() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return give


def _with_headers(send: Send) -> Send:
    extra = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def secured(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message["headers"]}
            kept = () if b"cache-control" in given else ((b"cache-control", b"no-store"),)
            message = {**message, "headers": [*message["headers"], *extra, *kept]}
        await send(message)

    return secured
