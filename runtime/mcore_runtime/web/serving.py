"""Serving of a page: its address, its token, and its life."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mcore.common.optional import require_all
from mcore_runtime.access_token import AccessToken, make_token
from mcore_runtime.address import Address, is_loopback, listen, local_names, parse_address, url_of
from mcore_runtime.limited_listener import PAGE_LIMITS, LimitedListener, within_open_files
from mcore_runtime.web.protocols import Session

if TYPE_CHECKING:
    from starlette.types import ASGIApp


@dataclass(frozen=True)
class Page:
    """A page that is being served."""

    url: str
    """Address to type into a browser."""
    token: str | None = field(repr=False)
    """Token that the page asks for; None: none."""


def check_page(address: str | Address) -> Address:
    """Find out before anything else is begun whether a page could be served.

    Raises:
        UserError: not an address, or packages are missing.
    """
    require_all("starlette", "uvicorn", "websockets", extra="web", purpose="The page")
    return parse_address(address)


@contextmanager
def serve(
    session: Session,
    address: str | Address,
    *,
    token: str | None = None,
    log: Callable[[str], None] | None = None,
) -> Iterator[Page]:
    """Serve a session's page from a thread of its own, while the context lasts.

    Args:
        session: a ``LiveSession``.
        address: HOST:PORT, see ``parse_address``; port 0 takes a free one.
        token: what the page asks for; None: nothing on loopback, and a new one elsewhere.
        log: gets a line with the address, and a new token, once; default: standard error.

    Raises:
        UserError: not an address, it cannot be had, a token that is none, or packages are missing.
    """
    check_page(address)
    from mcore_runtime.web.app import make_app

    app = make_app(session)
    with serve_app(app, address, token=token, log=log, on_end=app.state.service.take_leave) as page:
        yield page


@contextmanager
def serve_app(
    app: ASGIApp,
    address: str | Address,
    *,
    token: str | None = None,
    log: Callable[[str], None] | None = None,
    on_end: Callable[[], object] = lambda: None,
) -> Iterator[Page]:
    """Serve any page of this program as ``serve`` does, behind the same access control and limits.

    Args:
        app: the page.
        address: as of ``serve``.
        token: as of ``serve``.
        log: as of ``serve``.
        on_end: called before the server ends.

    Raises:
        UserError: as ``serve``.
    """
    place = check_page(address)
    from mcore_runtime.web.server import run_server

    given = None if token is None else AccessToken(token)
    limits = within_open_files(PAGE_LIMITS)
    with LimitedListener(listen(place), limits) as taken:
        is_local = is_loopback(taken.getsockname()[0])
        made = make_token() if token is None and not is_local else None
        required = given if made is None else AccessToken(made)
        names = local_names(place.host) if required is None else None
        with run_server(app, taken, required, names, on_end):
            page = Page(url_of(taken, place), made or token)
            (log or _log)(f"page: {page.url}" + ("" if made is None else f"  token, shown this once: {made}"))
            yield page


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
