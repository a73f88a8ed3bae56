"""The comparison of speed: in turns, by ratio within a round, and honest about noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mcore.common.errors import UserError
from mcore_export import speed
from mcore_export.speed import BACKBONE, CHAIN, compare_speed, describe_speed

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
    backends = {"fp32": FakeBackend(clock, "A", [100.0]), "int8": FakeBackend(clock, "B", [50.0])}
    backbone, chain = compare_speed(backends, CLIP, EXEMPLARS, rounds=8)
    assert (backbone.part, backbone.variant, backbone.baseline, backbone.rounds) == (BACKBONE, "int8", "fp32", 8)
    assert backbone.ratio == pytest.approx(2.0, rel=0.11)
    assert chain.part == CHAIN
    assert chain.ratio == pytest.approx(110 / 60, rel=0.11)  # the regressor is as slow as before
    assert backbone.faster
    assert chain.faster
    rounds = "ABBA" + "ABBABAAB" + "BAABABBA"  # two to warm up; forth, back, back, forth; turned round
    assert "".join(clock.turns) == rounds * 2  # of each of the two parts


def test_what_wins_half_of_the_rounds_is_not_faster(clock: Clock) -> None:
    backends = {"fp32": FakeBackend(clock, "A", [100.0]), "int8": FakeBackend(clock, "B", [50.0, 150.0])}
    row, _ = compare_speed(backends, CLIP, EXEMPLARS, rounds=8)
    assert row.low < 1 < row.high
    assert not row.faster


def test_every_variant_gets_two_rows_and_one_line_each(clock: Clock) -> None:
    backends = {name: FakeBackend(clock, name, [cost]) for name, cost in (("fp32", 8), ("fp16", 9), ("int8", 2))}
    rows = compare_speed(backends, CLIP, EXEMPLARS, rounds=4)
    assert [(row.part, row.variant) for row in rows] == [
        (BACKBONE, "fp16"),
        (BACKBONE, "int8"),
        (CHAIN, "fp16"),
        (CHAIN, "int8"),
    ]
    assert describe_speed(rows[1]).startswith("fake         backbone     int8 ")


@pytest.mark.parametrize(("names", "rounds"), [(("fp32",), 8), (("fp16", "int8"), 8), ((), 8), (("fp32", "int8"), 3)])
def test_there_must_be_something_to_compare(clock: Clock, names: tuple[str, ...], rounds: int) -> None:
    backends = {name: FakeBackend(clock, name, [1.0]) for name in names}
    with pytest.raises(UserError, match="it takes the baseline, another variant, and at least 4 rounds"):
        compare_speed(backends, CLIP, EXEMPLARS, rounds=rounds)
