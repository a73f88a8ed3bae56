"""Notification of systemd: that a session is ready, how it goes, and that it lives, so that one that hangs is ended.

The protocol is a datagram to the socket that ``NOTIFY_SOCKET`` names, see sd_notify(3); without one nothing happens.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

_INTERVAL_S = 10.0
"""Between two messages where no watchdog asks for more."""


@contextmanager
def watched(
    is_working: Callable[[], bool], describe: Callable[[], str], environment: Mapping[str, str] = os.environ
) -> Iterator[None]:
    """Tell systemd of a service while the context lasts, from a thread of its own.

    Args:
        is_working: whether nothing hangs; while it says no, the watchdog is not told that all is well.
        describe: the state in one line, for ``systemctl status``.
        environment: where systemd says what it wants to hear.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        yield
        return
    ended = threading.Event()

    def run() -> None:
        interval_s = min(_INTERVAL_S, _watchdog_s(environment) / 3)
        while not ended.is_set():
            alive = "WATCHDOG=1\n" if is_working() else ""
            _send(address, f"{alive}STATUS={describe()}")
            ended.wait(interval_s)

    _send(address, "READY=1")
    thread = threading.Thread(target=run, name="service", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _watchdog_s(environment: Mapping[str, str]) -> float:
    """Seconds that systemd waits for a heartbeat; infinite where it does not, or asks another process for one."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return float("inf")
    with suppress(ValueError):
        return int(environment["WATCHDOG_USEC"]) / 1e6 if "WATCHDOG_USEC" in environment else float("inf")
    return float("inf")


def _send(address: str, text: str) -> None:
    """Send a datagram; that nobody takes it is no reason to stop."""
    place = "\0" + address[1:] if address.startswith("@") else address  # an abstract socket
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.settimeout(1.0)
        sender.sendto(text.encode(errors="replace"), place)
