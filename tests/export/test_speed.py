"""The comparison of speed: in turns, by ratio within a round, and honest about noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mcore_export import speed
from mcore_export.speed import BACKBONE, CHAIN, compare_speed

CLIP = np.zeros((3, 4, 8, 8), np.float32)
EXEMPLARS = np.zeros((10, 6, 8), np.float32)


class Clock:
    """Time passes only where a fake engine works; all of them slow down together, as on a busy machine."""

    def __init__(self) -> None:
        self.seconds, self.load, self.turns = 0.0, 1.0, list[str]()

    def perf_counter(self) -> float:
        return self.seconds


class FakeBackend:
    name, provider, notes = "fake", "Fake CPU", ()

    def __init__(self, clock: Clock, label: str, costs_ms: list[float]) -> None:
        self.precision = {"backbone": "any"}
        self.clock, self.label, self.costs_ms, self.calls = clock, label, costs_ms, 0

    def backbone(self, clip: Any) -> Any:
        assert clip.shape == (1, *CLIP.shape)
        self.clock.turns.append(self.label)
        self.clock.load *= 1.1
        self.clock.seconds += self.clock.load * self.costs_ms[self.calls % len(self.costs_ms)] / 1e3
        self.calls += 1
        return np.zeros((1, 4, 8), np.float32)

    def segmenter(self, features: Any) -> Any:
        return np.zeros((1, 4, 2), np.float32), np.array([[1, 2]]), np.zeros((1, 6, 8), np.float32)

    def regressor(self, query: Any, exemplars: Any) -> Any:
        assert exemplars is EXEMPLARS
        self.clock.seconds += self.clock.load * 10 / 1e3
        return np.zeros(10, np.float32), np.zeros((10, 3), np.float32)

    def close(self) -> None:
        raise AssertionError("backends belong to the caller")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(speed, "time", clock)
    return clock


def test_ratios_hold_where_the_machine_gets_busier(clock: Clock) -> None:
    """Each call takes a tenth longer than the one before it: medians alone would be compared wrongly."""
    backbone, chain = compare_speed(FakeBackend(clock, "A", [100.0]), FakeBackend(clock, "B", [50.0]), CLIP, EXEMPLARS)
    assert (backbone.part, chain.part) == (BACKBONE, CHAIN)
    assert backbone.ratio == pytest.approx(2.0, rel=0.11)
    assert chain.ratio == pytest.approx(110 / 60, rel=0.11)  # the regressor is as slow as before
    assert backbone.faster
    assert chain.faster
    rounds = "ABBA" + "ABBABAABBAABABBA"  # two to warm up; forth, back, back, forth; turned round
    assert "".join(clock.turns).startswith(rounds)
    assert backbone.text.startswith("fake, backbone: int8 is x")


def test_what_wins_half_of_the_rounds_is_not_faster(clock: Clock) -> None:
    row, _ = compare_speed(FakeBackend(clock, "A", [100.0]), FakeBackend(clock, "B", [50.0, 150.0]), CLIP, EXEMPLARS)
    assert row.low < 1 < row.high
    assert not row.faster
