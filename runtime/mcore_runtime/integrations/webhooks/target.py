"""Addresses of webhooks' receivers, of which only scheme, host and port are ever shown."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, unquote, urlsplit

from mcore.common.errors import UserError

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]+")
_EXAMPLE = "give --webhook an address such as https://scores.example/dives"


@dataclass(frozen=True, repr=False)
class WebhookTarget:
    """A receiver; printing it shows the public form only."""

    public: str
    """Address as it may be shown: scheme, host and port. Paths and queries of webhooks often are secrets."""
    is_secure: bool
    """Whether it is reached by TLS."""
    host: str
    port: int
    path: str
    """Path and query. May be secret: never log it."""
    authorization: str | None
    """Header made of the address's user name and password; None: it has none."""
    key: str
    """Names the target in a session's records, without telling its address; another password is the same target."""

    def __repr__(self) -> str:
        return f"WebhookTarget({self.public!r})"

    def __str__(self) -> str:
        return self.public


def parse_target(url: str) -> WebhookTarget:
    """Read a webhook's address.

    Raises:
        UserError: not an http or https address. Nothing of it is quoted.
    """
    parts, port = _split(url.strip())
    scheme, host = parts.scheme.lower(), parts.hostname or ""
    named = f"[{host}]" if ":" in host else host
    public = f"{scheme}://{named}" + ("" if port == _PORTS[scheme] else f":{port}")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._") + (f"?{parts.query}" if parts.query else "")
    digest = hashlib.sha256(f"{public}{path}".encode()).hexdigest()
    return WebhookTarget(public, scheme == "https", host, port, path, _authorization(parts), digest[:16])


def _split(url: str) -> tuple[SplitResult, int]:
    if re.search(r"[^\x21-\x7e]", url):
        raise UserError(f"a webhook's address has a character that must be written as %XX; {_EXAMPLE}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UserError(f"a webhook's address has a host or port that cannot be; {_EXAMPLE}") from None
    if parts.scheme.lower() not in _PORTS:
        raise UserError(f"a webhook's address begins with https:// or http://; {_EXAMPLE}")
    if parts.fragment:
        raise UserError(f"a webhook's address has a part after #, which is never sent; leave it out. Or {_EXAMPLE}")
    if not _HOST.fullmatch(parts.hostname or "") or port == 0:
        raise UserError(f"a webhook's address has no host, or one that cannot be; {_EXAMPLE}")
    return parts, port or _PORTS[parts.scheme.lower()]


def _authorization(parts: SplitResult) -> str | None:
    if parts.username is None:
        return None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"
