"""Limits of a client's requests."""

from __future__ import annotations

import pytest

pytest.importorskip("starlette", reason="the page's packages are not installed (extra: web)")

from mcore_runtime.web.limits import RateLimit


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
