"""A session's state for Prometheus, as text and, without the page, from a small server of its own.

Names follow Prometheus' conventions: base units, ``_total`` for what only grows. No name of a person, a file or an
address is in it.
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from mcore.common.errors import UserError
from mcore_runtime.access_token import AccessToken
from mcore_runtime.address import host_name, is_loopback, listen, local_names, parse_address, url_of
from mcore_runtime.limited_listener import METRICS_LIMITS, LimitedListener, within_open_files

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PATH = "/metrics"
_TIMEOUT_S = 5.0
_BUCKETS_S = (0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0)
_STATES = ("connecting", "streaming", "retrying", "ended", "failed", "closed")
_STATUSES = ("scoring", "held", "scored", "unlike", "invalid", "failed", "void")


def metrics_text(snapshot: Mapping[str, Any]) -> str:
    """Return a snapshot of ``LiveSession`` in Prometheus' text format; what is unknown is left out."""
    registry = CollectorRegistry()
    registry.register(_SnapshotCollector(snapshot))
    return generate_latest(registry).decode()


class _SnapshotCollector(Collector):
    """Metrics of one snapshot: the session counts already, so nothing is counted here."""

    def __init__(self, snapshot: Mapping[str, Any]) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        source, health, session = (self._snapshot[part] for part in ("source", "health", "session"))
        dives = self._snapshot["dives"]
        statuses = [dive["status"] for dive in dives]
        times_s = [dive["time_to_score_ms"] / 1e3 for dive in dives if dive["time_to_score_ms"] is not None]
        yield _labelled(
            "dives", "Dives of this session by status.", "status", {name: statuses.count(name) for name in _STATUSES}
        )
        yield _histogram("time_to_score_seconds", "From the last frame of a dive to its score.", times_s)
        yield from _gauge("clips_waiting", "Clips that wait for the network.", health["queue"])
        yield _labelled(
            "source_state", "1 for the state that the source is in.", "state",
            {state: source["state"] == state for state in _STATES},
        )  # fmt: skip
        yield _counter("frames", "Frames received.", source["frames"])
        yield _counter("frames_dropped", "Frames that nobody took in time.", source["dropped"])
        yield _counter("connections", "Connections made to the source.", source["connections"])
        yield _counter("source_failures", "Attempts that failed, and connections lost.", source["failures"])
        yield from _gauge(
            "frames_per_second", "Frames a second, by the source's own times.", source["frames_per_second"]
        )
        yield from _gauge("source_silent_seconds", "Time since the last frame.", source["silent_s"])
        problem = session["problem"] is not None
        yield from _gauge("error", "1 while results are not on the disk or the scorer has failed.", problem)
        yield from _gauge("memory_bytes", "Resident memory of this process.", health["memory_mb"], 1e6)
        yield from _gauge("disk_free_bytes", "Room on the session's disk.", health["disk_free_mb"], 1e6)
        cpu = "Processor time of this process for each second."
        yield from _gauge("cpu_cores_used", cpu, health["cpu_percent"], 1e-2)
        yield from _gauge("temperature_celsius", "Hottest sensor of processor or board.", health["temperature_c"])
        yield from _gauge("power_watts", "Power, of the board or else of the processor.", health["power_w"])


def _gauge(name: str, text: str, value: float | None, factor: float = 1.0) -> Iterator[Metric]:
    """A gauge in base units; nothing where the value is not known."""
    if value is not None:
        yield GaugeMetricFamily(f"mcore_{name}", text, value=value * factor)


def _counter(name: str, text: str, value: float) -> Metric:
    """A counter; its samples' name ends in ``_total``."""
    return CounterMetricFamily(f"mcore_{name}", text, value=value)


def _labelled(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"mcore_{name}", text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _histogram(name: str, text: str, seconds: Sequence[float]) -> Metric:
    buckets = [(f"{bound:g}", float(sum(value <= bound for value in seconds))) for bound in _BUCKETS_S]
    buckets.append(("+Inf", float(len(seconds))))
    return HistogramMetricFamily(f"mcore_{name}", text, buckets=buckets, sum_value=math.fsum(seconds))


@contextmanager
def serve_metrics(
    snapshot: Callable[[], Mapping[str, Any]], address: str, *, token: str | None = None
) -> Iterator[str]:
    """Serve ``/metrics`` from a thread of its own while the context lasts; yields its URL.

    The client library's own server is not used: it checks neither a token nor the name that it is asked for.

    Args:
        snapshot: gives the session's state.
        address: HOST:PORT; port 0 takes a free one.
        token: what requests must bring as ``Authorization: Bearer TOKEN``; None: nothing, on loopback only.

    Raises:
        UserError: not an address, it cannot be had, or it is not loopback and there is no token.
    """
    place = parse_address(address)
    limits = within_open_files(METRICS_LIMITS)
    with LimitedListener(listen(place), limits) as taken:
        local = is_loopback(taken.getsockname()[0])
        if token is None and not local:
            raise UserError(
                f"metrics at {place} could be read by anybody: give --token-file with the token that Prometheus is "
                "to send (authorization: credentials_file), or an address of this machine only, such as 127.0.0.1:9400"
            )
        names = local_names(place.host) if local and token is None else None
        server = _Server(taken, snapshot, None if token is None else AccessToken(token), names)
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
        self,
        listener: LimitedListener,
        snapshot: Callable[[], Mapping[str, Any]],
        token: AccessToken | None,
        names: frozenset[str] | None,
    ) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = self.listener = listener
        self.snapshot, self.token, self.names = snapshot, token, names

    def service_actions(self) -> None:
        """Between two requests, and five times a second without any."""
        self.listener.close_overdue()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing where the client is gone: that is no fault of this program."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _TIMEOUT_S

    def do_GET(self) -> None:
        self.server.listener.set_timeout(self.connection.fileno(), None)
        if self.server.names is not None and host_name(self.headers.get("Host", "")) not in self.server.names:
            self._answer(HTTPStatus.FORBIDDEN, "this server answers to its own names only\n")
        elif not self._is_known():
            self._answer(HTTPStatus.UNAUTHORIZED, "send the header Authorization: Bearer TOKEN\n")
        elif self.path != PATH:
            self._answer(HTTPStatus.NOT_FOUND, f"there is only {PATH}\n")
        else:
            self._answer(HTTPStatus.OK, metrics_text(self.server.snapshot()))

    def _is_known(self) -> bool:
        if self.server.token is None:
            return True
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        return self.server.token.is_token(token.strip()) and kind.lower() == "bearer"

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
