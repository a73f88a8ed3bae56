from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mcore.diving import DiveNumber
from mcore.diving.physics import LONGEST_FLIGHT_S, SHORTEST_FLIGHT_S
from mcore.synthetic.body import INDEX
from mcore.synthetic.untrimmed import STREAM, render_clip
from mcore.synthetic.untrimmed.action import Action, draw_broken_off, draw_dive, draw_on_land
from mcore.synthetic.untrimmed.approach import draw_approach
from mcore.synthetic.untrimmed.kept import keep_clip, read_kept
from mcore.synthetic.untrimmed.operator import CameraKind, Position, film, shows
from mcore.synthetic.untrimmed.operator import Path as CameraPath
from mcore.synthetic.untrimmed.shot import Shot
from mcore.video.spotting import COLUMNS, ROWS, SAMPLES_PER_S

RATE = 30.0
TOUCH_M = 0.45
"""A body moves this far within one frame: 13 m/s at the water."""


def seeded(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_clip_is_a_function_of_its_seed() -> None:
    first, again, other = render_clip(3, "no dive"), render_clip(3, "no dive"), render_clip(4, "no dive")
    assert np.array_equal(first.pictures, again.pictures)
    assert not np.array_equal(first.pictures[0], other.pictures[0])
    assert first.pictures.shape[1:] == (ROWS, COLUMNS)
    assert first.dives == ()


def test_pictures_come_at_the_spotters_pace() -> None:
    clip = render_clip(5, "dive")
    assert len(clip.times_s) == len(clip.pictures)
    assert np.all(np.diff(clip.times_s) > 0)
    assert len(clip.times_s) / clip.times_s[-1] == pytest.approx(SAMPLES_PER_S, rel=0.1)


@pytest.mark.parametrize("seed", range(12))
def test_a_dive_leaves_the_board_and_meets_the_water_when_it_says(seed: int) -> None:
    action = draw_dive(round(8 * RATE), RATE, 4.0, seeded(seed))
    assert action.takeoff_s is not None
    assert action.entry_s is not None
    assert SHORTEST_FLIGHT_S <= action.entry_s - action.takeoff_s <= LONGEST_FLIGHT_S
    lowest = action.joints_m[..., 1].min(axis=1)
    left, touched = round(action.takeoff_s * RATE), round(action.entry_s * RATE)
    assert lowest[left - 1] == pytest.approx(action.height_m, abs=TOUCH_M)
    assert lowest[touched] == pytest.approx(0.0, abs=TOUCH_M)
    assert np.all(lowest[left + 4 : touched - 2] > 0)


def test_a_hurdle_leaves_the_board_and_meets_it_again() -> None:
    forward = DiveNumber.parse("105B")
    hurdle = next(a for seed in range(20) if (a := draw_approach(forward, True, seeded(seed))).hops)
    (hop,) = hurdle.hops
    _, above = hurdle.feet(np.array([hop.begin_s - 0.1, (hop.begin_s + hop.end_s) / 2, hop.end_s + 0.05]))
    assert above.tolist() == pytest.approx([0.0, hop.high_m, 0.0])
    # The board is lowest before the take-off, and higher when it throws the diver.
    lowest, thrown = hurdle.dip_m(np.array([hurdle.presses[0][0], -1e-6]))
    assert lowest > 0.2
    assert thrown < 0.5 * lowest


def test_an_armstand_turns_upside_down_before_take_off() -> None:
    approach = draw_approach(DiveNumber.parse("612B"), False, seeded(0))
    assert approach.base_deg(np.array([-20.0, 0.0])).tolist() == [0.0, 180.0]


@pytest.mark.parametrize("draw", [draw_broken_off, draw_on_land])
def test_who_does_not_dive_never_meets_the_water(draw: object) -> None:
    assert callable(draw)
    for seed in range(5):
        action = draw(200, RATE, seeded(seed))
        assert action.takeoff_s is None
        assert action.entry_s is None
        assert action.joints_m[..., 1].min() > -1.0


def test_a_camera_in_front_sees_who_comes_towards_it() -> None:
    point = np.array([2.0, 3.0, 0.0])
    side, front = (Position(yaw, 0.0).project(point) for yaw in (0.0, -90.0))
    assert side.tolist() == pytest.approx([2.0, 3.0, 0.0])
    assert front.tolist() == pytest.approx([0.0, 3.0, 2.0])
    # From above, what is near lies lower in the picture.
    assert Position(-90.0, 20.0).project(point)[1] < 3.0


def test_a_hand_follows_late_and_a_tripod_stands() -> None:
    action = draw_dive(240, RATE, 4.0, seeded(1))
    focus = action.joints_m.mean(axis=1)[:, :2]
    fixed = film("fixed", action, focus, RATE, seeded(2))
    followed = film("broadcast", action, focus, RATE, seeded(2))
    assert np.ptp(fixed.center_m[:, 1]) < 0.1 * fixed.view_m[0]
    assert np.ptp(followed.center_m[:, 1]) > 0.5
    head = action.joints_m[:, INDEX["head"], 1]
    assert followed.center_m[:, 1].argmax() >= head[:150].argmax() - 90


@pytest.mark.parametrize("kind", ["hand-held", "broadcast"])
def test_a_zoom_stays_a_zoom(kind: CameraKind) -> None:
    action = draw_dive(50, RATE, 1.0, seeded(1))
    focus = action.joints_m.mean(axis=1)[:, :2]
    for seed in range(60):
        view = film(kind, action, focus, RATE, seeded(seed)).view_m
        assert view.max() / view.min() < 4


def test_dives_are_filmed_so_that_they_are_seen() -> None:
    center = np.linspace([0.0, 3.0], [0.0, 0.0], 11)
    still, flight = CameraPath(np.zeros((11, 2)), np.full(11, 4.0)), slice(0, 11)
    assert not shows(still, center, flight, 1.0)  # its upper half only passes by
    assert shows(CameraPath(np.zeros((11, 2)), np.full(11, 5.0)), center, flight, 1.0)
    assert not shows(CameraPath(center + np.array([0.0, 0.5]), np.full(11, 0.9)), center, flight, 1.0)


def test_a_pair_dives_side_by_side() -> None:
    action = next(action for seed in range(60) if (action := draw_dive(240, RATE, 4.0, seeded(seed))).partner)
    alone = replace(action, partner=None)
    assert action.takeoff_s is not None
    flying = round((action.takeoff_s + 0.3) * RATE)

    def picture(shown: Action) -> NDArray[np.int64]:
        return np.asarray(Shot(shown, "fixed", RATE, (90, 160), 1.0, seeded(3)).draw(flying), np.int64)

    assert action.partner is not None
    assert 0.5 < abs(action.partner.aside_m) < 4
    assert np.abs(picture(action) - picture(alone)).max() > 20


def test_slow_motion_lasts_longer_than_a_fall() -> None:
    slow, live = render_clip(1, "slow motion").dives[0], render_clip(13, "dive").dives[0]
    assert slow.entry_s - slow.takeoff_s > 2.5
    assert (slow.is_live, live.is_live) == (False, True)


def test_a_stream_shows_the_same_dive_in_every_frame() -> None:
    small, stream = render_clip(3, "dive"), render_clip(3, "dive", STREAM)
    assert stream.pictures.shape[1:] == (2 * ROWS, 2 * COLUMNS)
    assert stream.dives == small.dives
    assert np.isin(small.times_s, stream.times_s).all()
    assert len(stream.times_s) > len(small.times_s)


def test_a_kept_clip_is_the_drawn_one_and_is_drawn_once(tmp_path: Path) -> None:
    path = keep_clip(tmp_path, 28)
    drawn, kept = render_clip(28), read_kept(path)
    assert kept.times_s.tolist() == drawn.times_s.tolist()
    assert np.array_equal(kept.pictures, drawn.pictures)
    assert kept.shifts.shape == (len(drawn.pictures), 2)
    written = path.stat().st_mtime_ns
    assert keep_clip(tmp_path, 28).stat().st_mtime_ns == written
