"""Proxies and redirects of cameras over HTTP: a camera nearby is asked itself, and answers from where it was asked."""

from __future__ import annotations

import base64
import http.client
import ipaddress
import os
import urllib.request
from dataclasses import replace
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from mcore_runtime.sources.errors import SourceError
from mcore_runtime.sources.uri import SourceURI

_REDIRECTS = (301, 302, 303, 307, 308)
_LOCAL_ENDINGS = (".local", ".lan", ".home", ".internal", ".home.arpa")


def is_local(host: str) -> bool:
    """Whether a host is on this machine or in its own network, as far as its name or address says."""
    try:
        return not ipaddress.ip_address(host.partition("%")[0]).is_global
    except ValueError:
        return "." not in host or host.lower().endswith((*_LOCAL_ENDINGS, ".localhost"))


def asks_proxy(uri: SourceURI) -> bool:
    """Return whether FFmpeg is to ask the proxy that ``http_proxy`` names, and not the camera itself.

    FFmpeg reads this variable for HTTPS too, and passes local cameras to it like all others.
    """
    host = _split(uri).hostname or ""
    return bool(os.environ.get("http_proxy")) and not is_local(host) and not urllib.request.proxy_bypass(host)


def redirected(uri: SourceURI) -> SourceURI | None:
    """Ask a server once, without reading what it sends, and return the address that it redirects to; None: to none.

    Raises:
        SourceError: it redirects to another host, and was not allowed to: a password or a token in the address would
            go with it, and the picture would be somebody else's.
    """
    if uri.kind != "http":
        return None
    status, location = _ask(_split(uri), uri.options.open_timeout_s)
    if status not in _REDIRECTS or not location:
        return None
    before, after = _split(uri), urlsplit(urljoin(uri.target, location))
    if after.scheme not in ("http", "https") or not after.hostname:
        raise SourceError(f"{uri.public}: it redirects to something that is not http or https")
    if after.hostname == before.hostname:
        user, at, _ = before.netloc.rpartition("@")
        return replace(uri, target=after._replace(netloc=user + at + after.netloc.rpartition("@")[2]).geturl())
    if uri.options.redirects != "follow":
        raise SourceError(
            f"{uri.public}: it redirects to another host, {after.hostname}. Give the address there, or allow it with "
            "#redirects=follow"
        )
    return replace(uri, target=after.geturl())


def _split(uri: SourceURI) -> SplitResult:
    try:
        parts = urlsplit(uri.target)
        _ = parts.port  # raises where it is none
    except ValueError:  # not chained: it quotes the address
        parts = urlsplit("http://")
    return parts


def _ask(parts: SplitResult, timeout_s: float) -> tuple[int, str | None]:
    """Status and Location of a server's answer; 0 where there is none."""
    if not parts.hostname:
        return 0, None
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=timeout_s)
    headers = {"Range": "bytes=0-0"}
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
    try:
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Location")
    except (OSError, http.client.HTTPException, ValueError):
        return 0, None
    finally:
        connection.close()
