"""Serving the page of a session: the address, the token, and the server's life."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mcore.common.optional import require
from mcore_runtime.web.address import Address, is_loopback, listen, local_names, parse_address, url_of
from mcore_runtime.web.facade import Session
from mcore_runtime.web.keys import Keys, make_token


@dataclass(frozen=True)
class Page:
    """A page that is being served."""

    url: str
    """What to type into a browser."""
    token: str | None = field(repr=False)
    """What the page asks for; None: nothing."""


def check_page(address: str | Address) -> Address:
    """Find out before anything else is begun whether a page could be served.

    Raises:
        UserError: not an address, or packages are missing.
    """
    for package in ("fastapi", "uvicorn", "websockets"):
        require(package, "web", "The page")
    return parse_address(address)


@contextmanager
def serve(
    session: Session,
    address: str | Address,
    *,
    token: str | None = None,
    say: Callable[[str], None] | None = None,
) -> Iterator[Page]:
    """Serve a session's page from a thread of its own, while the context lasts.

    Args:
        session: a ``LiveSession``.
        address: HOST:PORT, see ``parse_address``; port 0 takes a free one.
        token: what the page asks for; None: nothing on loopback, and a new one elsewhere.
        say: told where the page is, and a new token, once; default: a line on stderr.

    Raises:
        UserError: not an address, it cannot be had, a token that is none, or packages are missing.
    """
    place = check_page(address)
    from mcore_runtime.web.server import ServerThread

    given = None if token is None else Keys(token)
    with listen(place) as taken:
        is_local = is_loopback(taken.getsockname()[0])
        made = make_token() if token is None and not is_local else None
        keys = given if made is None else Keys(made)
        server = ServerThread(session, taken, keys, local_names(place.host) if keys is None else None)
        server.start()
        try:
            page = Page(url_of(taken, place), made or token)
            (say or _say)(f"page: {page.url}" + ("" if made is None else f"  token, shown this once: {made}"))
            yield page
        finally:
            server.close()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
