"""Limits of a client's requests."""

from __future__ import annotations

import pytest

pytest.importorskip("starlette", reason="the page's packages are not installed (extra: web)")

from mcore_runtime.web.limits import RateLimit, client_of


def test_a_bucket_empties_and_fills_for_each_client_apart() -> None:
    now_s = [0.0]
    limit = RateLimit(burst=3, per_second=0.5, clock=lambda: now_s[0])
    assert [limit.allows("a") for _ in range(4)] == [True, True, True, False]
    assert limit.allows("b")
    now_s[0] = 2.0
    assert [limit.allows("a") for _ in range(2)] == [True, False]
    assert not limit.allows("a", cost=0)
    now_s[0] = 4.0
    assert limit.allows("a", cost=0)
    assert limit.allows("a")


def test_buckets_take_bounded_memory() -> None:
    limit = RateLimit(burst=1, per_second=0.0, clock=lambda: 0.0)
    for client in range(5000):
        limit.allows(str(client))
    assert len(limit._buckets) <= 1024
    assert not limit.allows("4999")


def test_clients() -> None:
    assert client_of("192.168.1.20") == "192.168.1.20"
    assert client_of("2001:db8::1") == client_of("2001:db8::ffff:1")
    assert client_of("2001:db8::1") != client_of("2001:db8:0:1::1")
    assert client_of("fe80::1%eth0") == client_of("fe80::2")
    assert client_of("testclient") == "testclient"
