"""Login: the token is given once, in a form or a link, and exchanged for a cookie that no script can read."""

from __future__ import annotations

from importlib.resources import files
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from mcore_runtime.access_token import COOKIE_SECONDS, AccessToken
from mcore_runtime.web.limits import RateLimit, Refusal, read_body

PUBLIC = frozenset({"/login", "/static/style.css", "/static/icon.svg"})
"""Paths that need no token."""
PAGES = ("/", "/overlay")
"""Paths at which the token may stand in the address, once."""
_SAME_SITE = '<!doctype html><title>MCoRe</title><meta http-equiv="refresh" content="0;url=/">'
"""A browser that follows a link from another site keeps the cookie back; asked by our own page, it sends it."""
_WRONG = "This is not the token. It was printed where the run was started."
_HELP = "The token was printed where the run was started."


class Login:
    """Exchanges the token for the cookie.

    Args:
        token: of the page.
        cookie_name: of the cookie.
    """

    def __init__(self, token: AccessToken, cookie_name: str) -> None:
        self._token, self._cookie_name = token, cookie_name
        self._attempts = RateLimit(burst=8, per_second=0.2)

    def is_token(self, text: str, client: str) -> bool:
        """Return whether a client has the token.

        Raises:
            Refusal: it has guessed too often.
        """
        if not self._attempts.allows(client, cost=0):
            raise Refusal(429, "too many wrong tokens; wait half a minute", 30)
        if self._token.is_token(text):
            return True
        self._attempts.allows(client)
        return False

    async def answer(self, request: Request, client: str) -> Response | None:
        """Answer a client that is not known, if that is about logging in."""
        method, path = request.method, request.scope["path"]
        if path == "/login" and method == "POST":
            return self._exchange(_field(await read_body(request)), client)
        if path == "/login" and method in ("GET", "HEAD"):
            return _form(200, _HELP)
        if path not in PAGES or method != "GET":
            return None
        if token := _field(request.scope["query_string"]):
            return self._exchange(token, client, path)
        if path == "/" and request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return HTMLResponse(_SAME_SITE)
        return None

    def _exchange(self, token: str, client: str, path: str = "/") -> Response:
        """Answer a token: a redirection takes it out of the address, a wrong one leads to the form."""
        try:
            if not self.is_token(token, client):
                return _form(403, _WRONG)
        except Refusal as refusal:
            return _form(refusal.status, "Too many wrong tokens. Wait half a minute.")
        answer = RedirectResponse(path, 303)
        answer.set_cookie(
            self._cookie_name, self._token.cookie(), max_age=COOKIE_SECONDS, httponly=True, samesite="strict", path="/"
        )
        return answer


def _form(status: int, message: str) -> Response:
    form = (files("mcore_runtime.web") / "pages" / "login.html").read_text(encoding="utf-8")
    return HTMLResponse(form.replace("MESSAGE", message), status)


def _field(data: bytes) -> str:
    """The token in a query or form; empty: there is none."""
    try:
        fields = parse_qs(data.decode("ascii"), max_num_fields=8)
    except ValueError:
        return ""
    return fields.get("token", [""])[0].strip()
