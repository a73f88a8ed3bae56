"""A session's state for Prometheus, as text and, without the page, from a small server of its own.

Names follow Prometheus' conventions: base units, ``_total`` for what only grows. No name of a person, a file or an
address is in it.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from mcore.common.errors import UserError
from mcore_runtime.web.address import is_loopback, listen, local_names, parse_address, url_of

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PATH = "/metrics"
_TIMEOUT_S = 5.0
_BUCKETS_S = (0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0)
_STATES = ("connecting", "streaming", "retrying", "ended", "failed", "closed")
_STATUSES = ("scoring", "scored", "invalid", "failed", "void")


def metrics_text(snapshot: Mapping[str, Any]) -> str:
    """Return a snapshot of ``LiveSession`` in Prometheus' text format; what is unknown is left out."""
    source, health, session = snapshot["source"], snapshot["health"], snapshot["session"]
    lines: list[str] = []

    def add(name: str, kind: str, text: str, *samples: tuple[str, float | None]) -> None:
        known = [(sample, value) for sample, value in samples if value is not None]
        if known:
            lines.extend([f"# HELP mcore_{name} {text}", f"# TYPE mcore_{name} {kind}"])
            lines.extend(f"mcore_{name}{sample} {_number(value)}" for sample, value in known)

    statuses = [dive["status"] for dive in snapshot["dives"]]
    add("dives", "gauge", "Dives of this session by status.",
        *((f'{{status="{status}"}}', statuses.count(status)) for status in _STATUSES))  # fmt: skip
    add("time_to_score_seconds", "histogram", "From the last frame of a dive to its score.",
        *_histogram([dive["time_to_score_ms"] / 1e3 for dive in snapshot["dives"]
                     if dive["time_to_score_ms"] is not None]))  # fmt: skip
    add("clips_waiting", "gauge", "Clips that wait for the engine.", ("", health["queue"]))
    add("source_state", "gauge", "1 for the state that the source is in.",
        *((f'{{state="{state}"}}', float(source["state"] == state)) for state in _STATES))  # fmt: skip
    add("frames_total", "counter", "Frames received.", ("", source["frames"]))
    add("frames_dropped_total", "counter", "Frames that nobody took in time.", ("", source["dropped"]))
    add("connections_total", "counter", "Connections made to the source.", ("", source["connections"]))
    add("source_failures_total", "counter", "Attempts that failed, and connections lost.", ("", source["failures"]))
    add("frames_per_second", "gauge", "Frame rate of the last seconds.", ("", source["frames_per_second"]))
    add("source_silent_seconds", "gauge", "Time since the last frame.", ("", source["silent_s"]))
    add("trouble", "gauge", "1 while results are not on the disk or the engine has failed.",
        ("", float(session["problem"] is not None)))  # fmt: skip
    add("memory_bytes", "gauge", "Resident memory of this process.", ("", _scaled(health["memory_mb"], 1e6)))
    add("disk_free_bytes", "gauge", "Room on the session's disk.", ("", _scaled(health["disk_free_mb"], 1e6)))
    add("cpu_cores_used", "gauge", "Processor time of this process for each second.",
        ("", _scaled(health["cpu_percent"], 1e-2)))  # fmt: skip
    add("temperature_celsius", "gauge", "Hottest sensor of processor or board.", ("", health["temperature_c"]))
    add("power_watts", "gauge", "Power, of the board or else of the processor.", ("", health["power_w"]))
    return "\n".join(lines) + "\n"


@contextmanager
def serve_metrics(
    snapshot: Callable[[], Mapping[str, Any]], address: str, *, token: str | None = None
) -> Iterator[str]:
    """Serve ``/metrics`` from a thread of its own while the context lasts; yields its URL.

    Args:
        snapshot: gives the session's state.
        address: HOST:PORT; port 0 takes a free one.
        token: what requests must bring as ``Authorization: Bearer TOKEN``; None: nothing, on loopback only.

    Raises:
        UserError: not an address, it cannot be had, or it is not loopback and there is no token.
    """
    place = parse_address(address)
    with listen(place) as taken:
        local = is_loopback(taken.getsockname()[0])
        if token is None and not local:
            raise UserError(
                f"metrics at {place} could be read by anybody: give --token-file with the token that Prometheus is "
                "to send (authorization: credentials_file), or an address of this machine only, such as 127.0.0.1:9400"
            )
        names = local_names(place.host) if local and token is None else None
        server = _Server(taken, snapshot, token, names)
        thread = threading.Thread(target=server.serve_forever, args=(0.2,), name="metrics", daemon=True)
        thread.start()
        try:
            yield url_of(taken, place).rstrip("/") + PATH
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self, taken: Any, snapshot: Callable[[], Mapping[str, Any]], token: str | None, names: frozenset[str] | None
    ) -> None:
        super().__init__(taken.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = taken
        self.snapshot, self.names = snapshot, names
        self.digest = None if token is None else hashlib.sha256(token.encode()).digest()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _TIMEOUT_S

    def do_GET(self) -> None:
        if self.server.names is not None and _host(self.headers.get("Host", "")) not in self.server.names:
            self._answer(HTTPStatus.FORBIDDEN, "this server answers to its own names only\n")
        elif not self._is_known():
            self._answer(HTTPStatus.UNAUTHORIZED, "send the header Authorization: Bearer TOKEN\n")
        elif self.path != PATH:
            self._answer(HTTPStatus.NOT_FOUND, f"there is only {PATH}\n")
        else:
            self._answer(HTTPStatus.OK, metrics_text(self.server.snapshot()))

    def _is_known(self) -> bool:
        if self.server.digest is None:
            return True
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        given = hashlib.sha256(token.strip().encode("utf-8", "replace")).digest()
        return hmac.compare_digest(given, self.server.digest) and kind.lower() == "bearer"

    def _answer(self, status: HTTPStatus, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: they come every few seconds."""


def _host(header: str) -> str:
    host = header.rpartition(":")[0] if header.rpartition(":")[2].isdecimal() else header
    return host.strip("[]").lower()


def _histogram(seconds: Sequence[float]) -> Iterator[tuple[str, float]]:
    """Samples of a histogram: how many took at most so long, their sum, and their number."""
    for bound in _BUCKETS_S:
        yield f'_bucket{{le="{bound:g}"}}', sum(value <= bound for value in seconds)
    yield '_bucket{le="+Inf"}', len(seconds)
    yield "_sum", math.fsum(seconds)
    yield "_count", len(seconds)


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _number(value: float) -> str:
    return repr(float(value)) if value != int(value) else str(int(value))
