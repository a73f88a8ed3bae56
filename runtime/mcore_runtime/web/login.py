"""Logging in: the token is given once, in a form or a link, and exchanged for a cookie that no script can read."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Receive, Scope

from mcore_runtime.web.asking import Refusal, read_body
from mcore_runtime.web.assets import asset_text
from mcore_runtime.web.keys import COOKIE_SECONDS, Keys
from mcore_runtime.web.limits import RateLimit

PUBLIC = frozenset({"/login", "/style.css", "/icon.svg"})
"""What anybody may see."""
_AGAIN = '<!doctype html><title>MCoRe</title><meta http-equiv="refresh" content="0;url=/">'
"""A browser that follows a link from another site keeps the cookie back; asked by our own page, it sends it."""
_WRONG = "This is not the token. It was printed where the run was started."
_HELP = "The token was printed where the run was started."


class Login:
    """Exchanges the token for the cookie.

    Args:
        keys: the token's.
        cookie_name: of the cookie.
    """

    def __init__(self, keys: Keys, cookie_name: str) -> None:
        self._keys, self._cookie_name = keys, cookie_name
        self._attempts = RateLimit(burst=8, per_second=0.2)

    def is_token(self, text: str, client: str) -> bool:
        """Whether a client has the token.

        Raises:
            Refusal: it has guessed too often.
        """
        if not self._attempts.allows(client, cost=0):
            raise Refusal(429, "too many wrong tokens; wait half a minute", 30)
        if self._keys.is_token(text):
            return True
        self._attempts.allows(client)
        return False

    async def answer(self, scope: Scope, receive: Receive, client: str) -> Response | None:
        """Answer a client that is not known, if that is about logging in."""
        headers = Headers(scope=scope)
        method, path = scope["method"], scope["path"]
        if path == "/login" and method == "POST":
            body = await read_body(headers, receive)
            return self._exchange(_field(body), client)
        if path == "/login" and method in ("GET", "HEAD"):
            return _form(200, _HELP)
        if path != "/" or method != "GET":
            return None
        if token := _field(scope["query_string"]):
            return self._exchange(token, client)
        if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return HTMLResponse(_AGAIN)
        return None

    def _exchange(self, token: str, client: str) -> Response:
        """Answer a token: a redirection takes it out of the address, a wrong one leads to the form."""
        try:
            if not self.is_token(token, client):
                return _form(403, _WRONG)
        except Refusal as refusal:
            return _form(refusal.status, "Too many wrong tokens. Wait half a minute.")
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            self._cookie_name, self._keys.cookie(), max_age=COOKIE_SECONDS, httponly=True, samesite="strict", path="/"
        )
        return answer


def _form(status: int, message: str) -> Response:
    return HTMLResponse(asset_text("login.html").replace("MESSAGE", message), status)


def _field(data: bytes) -> str:
    """The token in a query or form; empty: there is none."""
    try:
        fields = parse_qs(data.decode("ascii"), max_num_fields=8)
    except ValueError:
        return ""
    return fields.get("token", [""])[0].strip()
