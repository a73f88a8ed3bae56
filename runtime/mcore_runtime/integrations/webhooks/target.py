"""Addresses of webhooks' receivers, of which only scheme, host and port are ever shown."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, unquote, urlsplit

from mcore.common.errors import UserError
from mcore.common.optional import require

_PORTS = {"http": 80, "https": 443, "mqtt": 1883, "mqtts": 8883}
_MAX_TOPIC_BYTES = 65_535
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]+")
_EXAMPLE = "give --webhook an address such as https://scores.example/dives, or mqtt://broker.example/pool/dives"


@dataclass(frozen=True, repr=False)
class WebhookTarget:
    """A receiver; printing it shows the public form only."""

    public: str
    """Address as it may be shown: scheme, host and port. Paths and queries of webhooks often are secrets."""
    is_mqtt: bool
    """Whether it is a topic of an MQTT broker; else it is reached by HTTP."""
    is_secure: bool
    """Whether it is reached by TLS."""
    host: str
    port: int
    path: str
    """Path and query; of MQTT the topic. May be secret: never log it."""
    credentials: tuple[str, str] | None
    """The address's user name and password; None: it has none."""
    key: str
    """Names the target in a session's records, without telling its address; another password is the same target."""

    def __repr__(self) -> str:
        return f"WebhookTarget({self.public!r})"

    def __str__(self) -> str:
        return self.public


def parse_target(url: str) -> WebhookTarget:
    """Read a webhook's address.

    Raises:
        UserError: not an address of HTTP or MQTT, or the package for MQTT is missing. Nothing of it is quoted.
    """
    parts, port = _split(url.strip())
    scheme, host = parts.scheme.lower(), parts.hostname or ""
    named = f"[{host}]" if ":" in host else host
    public = f"{scheme}://{named}" + ("" if port == _PORTS[scheme] else f":{port}")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._") + (f"?{parts.query}" if parts.query else "")
    digest = hashlib.sha256(f"{public}{path}".encode()).hexdigest()
    is_mqtt, is_secure = scheme.startswith("mqtt"), scheme.endswith("s")
    if is_mqtt:
        _check_topic(parts)
        require("paho.mqtt.client", "mqtt", "An mqtt address")
    return WebhookTarget(public, is_mqtt, is_secure, host, port, path, _credentials(parts), digest[:16])


def _split(url: str) -> tuple[SplitResult, int]:
    if re.search(r"[^\x21-\x7e]", url):
        raise UserError(f"a webhook's address has a character that must be written as %XX; {_EXAMPLE}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UserError(f"a webhook's address has a host or port that cannot be; {_EXAMPLE}") from None
    if parts.scheme.lower() not in _PORTS:
        raise UserError(f"a webhook's address begins with https://, http://, mqtts:// or mqtt://; {_EXAMPLE}")
    if parts.fragment:
        raise UserError(f"a webhook's address has a part after #, which is never sent; leave it out. Or {_EXAMPLE}")
    if not _HOST.fullmatch(parts.hostname or "") or port == 0:
        raise UserError(f"a webhook's address has no host, or one that cannot be; {_EXAMPLE}")
    return parts, port or _PORTS[parts.scheme.lower()]


def _check_topic(parts: SplitResult) -> None:
    topic = unquote(parts.path).strip("/")
    if not topic or parts.query or set(topic) & set("+#\0") or len(topic.encode()) > _MAX_TOPIC_BYTES:
        raise UserError(f"a webhook's address of MQTT ends in a topic of MQTT, without + # or ?; {_EXAMPLE}")


def _credentials(parts: SplitResult) -> tuple[str, str] | None:
    return None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))
