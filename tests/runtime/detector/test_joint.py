"""Both detectors together: one report of a flight, and another one where it turns out to be slow motion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from mcore.video.spotting import COLUMNS, ROWS
from mcore_runtime.detector import BallisticDetector, DetectedDive, JointDetector, SpotterDetector
from mcore_runtime.detector.base import FoundBy

Report = tuple[float, float, float, FoundBy]
"""Take-off, entry, confidence, and by what; longer than any fall: slow motion."""


class Says:
    """A detector that says its dives in their order, each at the first picture after its entry and those before it."""

    def __init__(self, dives: Sequence[DetectedDive]) -> None:
        self.left = list(dives)

    def update(self, picture: NDArray[np.uint8], time_s: float, *, gap: bool = False) -> list[DetectedDive]:
        due = []
        while self.left and self.left[0].entry_s < time_s:
            due.append(self.left.pop(0))
        return due


def watch(monkeypatch: pytest.MonkeyPatch, reports: Sequence[Report]) -> list[DetectedDive]:
    """What both say together of what each of them reports."""
    dives = [DetectedDive(*report, slow_motion=report[1] - report[0] > 2.1) for report in reports]
    for part, is_look in ((BallisticDetector, False), (SpotterDetector, True)):
        monkeypatch.setattr(part, "update", Says([d for d in dives if (d.found_by == "looks") == is_look]).update)
    picture, detector = np.zeros((2 * ROWS, 2 * COLUMNS, 3), np.uint8), JointDetector()
    return [dive for i in range(150) for dive in detector.update(picture, i / 10)]


def test_what_both_see_is_one_dive(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: list[Report] = [(2.0, 3.4, 1.0, "body"), (7.0, 8.4, 1.0, "body")]
    looks: list[Report] = [(2.1, 3.5, 0.6, "looks"), (8.9, 12.1, 0.9, "looks"), (12.5, 13.9, 0.6, "looks")]
    seen = watch(monkeypatch, [*bodies, *looks])
    assert [dive.takeoff_s for dive in seen] == [2.0, 7.0, 8.9, 12.5]
    assert not any(dive.instead_of for dive in seen)


@pytest.mark.parametrize(
    ("reports", "seen_at"),
    [
        pytest.param([(2, 3.4, 0.3, "camera"), (2.3, 3.5, 0.7, "looks")], [(2, 3.4)], id="both agree"),
        pytest.param([(2, 2.7, 0.3, "camera"), (2.3, 3.4, 0.7, "looks")], [(2, 3.4)], id="the camera stops early"),
        pytest.param([(2, 3.4, 0.3, "camera")], [(2, 3.4)], id="the camera alone"),
        pytest.param([(2, 3.4, 0.3, "camera"), (5, 6.5, 0.7, "looks")], [(2, 3.4), (5, 6.5)], id="two dives"),
    ],
)
def test_camera_tracking_waits_for_the_spotter(
    monkeypatch: pytest.MonkeyPatch, reports: list[Report], seen_at: list[tuple[float, float]]
) -> None:
    seen = watch(monkeypatch, reports)
    assert [(dive.takeoff_s, dive.entry_s) for dive in seen] == seen_at
    assert not any(dive.instead_of for dive in seen)
    assert seen[0].found_by == "camera"


@pytest.mark.parametrize(
    ("reports", "believed", "mistaken"),
    [
        pytest.param([(2, 5.4, 0.8, "looks"), (6.5, 9.8, 0.7, "looks")], [2, 6.5], [], id="two replays"),
        pytest.param([(3.1, 6.8, 0.7, "looks"), (2, 7, 0.8, "looks")], [3.1], [], id="a replay at two paces"),
        pytest.param([(3, 4.3, 0.65, "looks"), (1, 4.4, 0.7, "looks")], [1], [3], id="surely slow, the same entry"),
        pytest.param([(3, 4.3, 0.65, "looks"), (1, 8, 0.7, "looks")], [1], [3], id="surely slow, a later entry"),
        pytest.param(
            [(2.1, 3, 0.7, "looks"), (4.2, 5.4, 0.75, "looks"), (1, 8, 0.8, "looks")], [1], [2.1, 4.2], id="twice"
        ),
        pytest.param([(3, 4.3, 0.75, "looks"), (1, 4.4, 0.7, "looks")], [3], [], id="surely live"),
        pytest.param([(3, 4.3, 0.1, "body"), (1, 4.4, 0.9, "looks")], [3], [], id="who falls by gravity is live"),
        pytest.param(
            [(3, 4.3, 0.6, "looks"), (3, 4.5, 0.1, "body"), (1, 4.6, 0.9, "looks")], [3], [], id="gravity comes second"
        ),
        pytest.param([(1, 4.2, 0.9, "looks"), (3, 4.3, 0.1, "camera")], [3], [1], id="gravity comes after slow motion"),
        pytest.param(
            [(3, 4.3, 0.6, "looks"), (2.2, 4.7, 0.5, "looks"), (1, 4.8, 0.8, "looks")], [1], [3], id="the slower pace"
        ),
        pytest.param([(2, 3.5, 0.7, "looks"), (4, 8, 0.9, "looks")], [2, 4], [], id="a dive and its replay"),
    ],
)
def test_a_flight_is_a_dive_or_slow_motion_and_never_both(
    monkeypatch: pytest.MonkeyPatch, reports: list[Report], believed: list[float], mistaken: list[float]
) -> None:
    seen = watch(monkeypatch, reports)
    overruled = [other for dive in seen for other in dive.instead_of]
    assert [dive.takeoff_s for dive in seen if dive not in overruled] == believed
    assert [dive.takeoff_s for dive in overruled] == mistaken
