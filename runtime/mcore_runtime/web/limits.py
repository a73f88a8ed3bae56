"""How often a client may ask; memory stays bounded however many clients there are."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

_MOST_CLIENTS = 1024


class RateLimit:
    """A bucket of requests for each client, refilled all the time.

    Args:
        burst: requests at once.
        per_second: requests in the long run.
        clock: seconds, never going back.
    """

    def __init__(self, burst: float, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._per_second, self._clock = burst, per_second, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, client: str, *, cost: float = 1.0) -> bool:
        """Take from a client's bucket if there is enough; ``cost=0`` only asks whether there is one left."""
        now_s = self._clock()
        left, then_s = self._buckets.pop(client, (self._burst, now_s))
        left = min(self._burst, left + (now_s - then_s) * self._per_second)
        allowed = left >= max(cost, 1.0)
        self._buckets[client] = (left - cost if allowed else left, now_s)
        if len(self._buckets) > _MOST_CLIENTS:
            self._buckets.popitem(last=False)
        return allowed


def client_of(host: str) -> str:
    """Who a client is to a limit: its address; of IPv6 its network, because a host has as many as it likes."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
