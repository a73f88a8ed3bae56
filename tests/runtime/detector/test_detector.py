"""The detector: finds free falls of divers at any rate and scale, and nothing else that falls, pans or flickers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mcore.config import ClipConfig
from mcore.synthetic.meet.course import TrueDive, plan_meet
from mcore.synthetic.meet.scene import Scene
from mcore.synthetic.meet.settings import MeetSettings
from mcore.video import resize_frame
from mcore_bench.cases.detector import Measurement, measure, most_events, summary
from mcore_bench.cases.watching import match
from mcore_bench.command import main
from mcore_bench.result import read_result
from mcore_runtime.detector import BallisticDetector, DetectedDive, DetectorConfig
from mcore_runtime.detector.base import USUAL_FLIGHT_S
from mcore_runtime.detector.config import FallConfig

ROWS, COLUMNS = 200, 112
GRAVITY = 9.81
EMPTY_S = 0.6
"""At first nobody is there: a detector has to see a board empty before it can tell who stands on it."""
BOUNDARY_S = 0.35
"""Largest error of a boundary; a quarter of what a clip has around its dive."""

Frames = Iterator[tuple[NDArray[np.uint8], float]]


def watch(
    frames: Iterable[tuple[NDArray[np.uint8], float]],
    aspect: float = COLUMNS / ROWS,
    config: DetectorConfig | None = None,
) -> list[DetectedDive]:
    detector = BallisticDetector(aspect, config)
    return [dive for picture, time_s in frames for dive in detector.update(picture, time_s)]


def still_scene(
    height_of: Callable[[float], float | None],
    *,
    rate: float = 25.0,
    seconds: float = 5.0,
    rows_per_m: float = 26.0,
    body_m: tuple[float, float] = (1.2, 0.5),
    light: Callable[[float], float] = lambda s: 1.0,
    jitter_s: float = 0.0,
) -> Frames:
    """A body of given height and width, at ``height_of(seconds)`` metres above the bottom, before a still venue."""
    rng = np.random.default_rng(0)
    venue = np.repeat(np.repeat(rng.integers(30, 110, (ROWS // 4, COLUMNS // 4, 3)), 4, 0), 4, 1).astype(np.float32)
    for k in range(round(seconds * rate)):
        time_s = k / rate + float(rng.uniform(0, jitter_s))
        picture = venue + rng.normal(0, 2, (ROWS, COLUMNS, 1)).astype(np.float32)
        height = height_of(time_s)
        if height is not None and time_s > EMPTY_S:
            row = ROWS - 12 - height * rows_per_m
            half = np.array(body_m) * rows_per_m / 2
            top, bottom = max(0, round(row - half[0])), max(0, round(row + half[0]))
            left, right = round(56 - half[1]), round(56 + half[1])
            picture[top:bottom, left:right] = (225, 180, 150)
        yield np.clip(picture * light(time_s), 0, 255).astype(np.uint8), time_s


def dive_of(takeoff_s: float, up: float, fall_m: float, *, gravity: float = GRAVITY) -> Callable[[float], float | None]:
    """Stand ``fall_m`` above the water, leave at ``takeoff_s``, and vanish in it."""

    def height(time_s: float) -> float | None:
        since = max(0.0, time_s - takeoff_s)
        now = fall_m + up * since - gravity * since**2 / 2
        return now if now > 0 else None

    return height


def entry_of(takeoff_s: float, up: float, fall_m: float) -> float:
    return takeoff_s + (up + math.sqrt(up**2 + 2 * GRAVITY * fall_m)) / GRAVITY


@pytest.mark.parametrize("rate", [20.0, 59.94])
def test_a_dive_is_found_at_any_rate(rate: float) -> None:
    (dive,) = watch(still_scene(dive_of(2.5, 4.8, 3.2), rate=rate))
    assert dive.entry_s == pytest.approx(entry_of(2.5, 4.8, 3.2), abs=BOUNDARY_S)
    assert dive.takeoff_s == pytest.approx(2.5, abs=BOUNDARY_S)
    assert dive.found_by == "body"
    start_s, end_s = dive.window_s
    assert (start_s, end_s) == (min(dive.takeoff_s, dive.entry_s - USUAL_FLIGHT_S) - 1.2, dive.entry_s + 1.5)


def test_a_dive_is_found_where_frames_come_irregularly() -> None:
    (dive,) = watch(still_scene(dive_of(2.5, 4.8, 3.2), rate=25.0, jitter_s=0.03))
    assert dive.entry_s == pytest.approx(entry_of(2.5, 4.8, 3.2), abs=BOUNDARY_S)


def test_the_configuration_decides() -> None:
    frames = list(still_scene(dive_of(2.5, 4.8, 3.2)))
    (usual,) = watch(frames)
    (dive,) = watch(frames, config=DetectorConfig(fall=FallConfig(entry_bias_s=0.3)))
    assert dive.entry_s - usual.entry_s == pytest.approx(0.3 - FallConfig().entry_bias_s)


@pytest.mark.parametrize(("rows_per_m", "up", "fall_m"), [(13.0, 2.6, 10.2), (30.0, 5.0, 3.4), (18.0, 3.0, 7.4)])
def test_a_dive_is_found_at_any_scale_and_from_any_board(rows_per_m: float, up: float, fall_m: float) -> None:
    (dive,) = watch(still_scene(dive_of(2.5, up, fall_m), rows_per_m=rows_per_m))
    assert dive.entry_s == pytest.approx(entry_of(2.5, up, fall_m), abs=BOUNDARY_S)


@pytest.mark.parametrize(
    "frames",
    [
        lambda: still_scene(lambda s: None),
        lambda: still_scene(lambda s: 4.0),
        lambda: still_scene(dive_of(2.5, 0.8, 3.2), body_m=(0.32, 0.32)),  # a towel
        lambda: still_scene(dive_of(2.5, 3.5, 3.2, gravity=2.5), seconds=9.0),  # slower than gravity: something lowered
        lambda: still_scene(lambda s: 5.5 - 1.5 * s, seconds=5.0),  # evenly downwards
        lambda: still_scene(lambda s: 3.0 + max(0.0, 4.0 * (s % 0.9) - GRAVITY * (s % 0.9) ** 2 / 2)),  # bounces
        lambda: still_scene(lambda s: 2.0 + 1.5 * float(np.sin(s))),  # up and down a ladder
        lambda: still_scene(lambda s: None, light=lambda s: 1.5 if s % 1.0 < 0.05 else 1.0),  # flashes
        lambda: still_scene(lambda s: None, light=lambda s: 1.0 + 0.3 * np.sin(s)),  # clouds
    ],
)
def test_what_is_no_dive_is_not_found(frames: Callable[[], Frames]) -> None:
    assert watch(frames()) == []


@dataclass(frozen=True)
class Person:
    """Somebody of 1.7 m, or something smaller, in a crowded scene."""

    height_of: Callable[[float], float | None]
    x_of: Callable[[float], float]
    body_m: tuple[float, float] = (1.7, 0.42)
    color: tuple[int, int, int] = (225, 180, 150)


def crowded_scene(*people: Person, seconds: float = 6.0, rate: float = 25.0, rows_per_m: float = 26.0) -> Frames:
    """Several people before a still venue, 7.7 m high and as wide as a picture of 16 to 9."""
    rng = np.random.default_rng(2)
    venue = np.repeat(np.repeat(rng.integers(30, 110, (ROWS // 4, COLUMNS // 4, 3)), 4, 0), 4, 1).astype(np.float32)
    columns_per_m = rows_per_m * COLUMNS / ROWS * 9 / 16
    for k in range(round(seconds * rate)):
        picture = venue + rng.normal(0, 2, (ROWS, COLUMNS, 1)).astype(np.float32)
        for person in people:
            height = person.height_of(k / rate)
            if height is not None and k / rate > EMPTY_S:
                row, column = ROWS - 12 - height * rows_per_m, COLUMNS / 2 + person.x_of(k / rate) * columns_per_m
                half_rows, half_columns = (np.array(person.body_m) * (rows_per_m, columns_per_m) / 2).tolist()
                top, left = max(0, round(row - half_rows)), round(column - half_columns)
                picture[top : max(0, round(row + half_rows)), left : round(column + half_columns)] = person.color
        yield np.clip(picture, 0, 255).astype(np.uint8), k / rate


def edge_jump(begin_s: float, up: float) -> Callable[[float], float | None]:
    """Middle of somebody who jumps from the pool's edge, 0.35 m high, and sinks."""

    def height(time_s: float) -> float | None:
        since = time_s - begin_s
        lands_s = entry_of(0.0, up, 0.35)
        falls_s = min(since, lands_s)
        now = 1.2 + up * falls_s - GRAVITY * falls_s**2 / 2 - 4.0 * max(0.0, since - lands_s)
        return now if since >= 0 and now > -0.85 else None

    return height


@pytest.mark.parametrize(
    ("board_x", "walker_x", "jump_x", "up"),
    [(-0.6, 0.33, -0.36, 1.17), (-0.6, 0.27, -0.34, 1.14), (0.0, -0.29, -0.85, 1.83)],
)
def test_a_jump_from_the_edge_below_a_diver_who_waits_is_no_dive(
    board_x: float, walker_x: float, jump_x: float, up: float
) -> None:
    waits = Person(lambda s: 3.9, lambda s: board_x)
    walks = Person(lambda s: 2.2, lambda s: walker_x - 1.2 * (s - 3.0), color=(60, 60, 190))
    jumps = Person(edge_jump(3.0, up), lambda s: jump_x + 0.8 * (s - 3.0), color=(200, 60, 60))
    assert watch(crowded_scene(waits, walks, jumps, seconds=4.6), aspect=16 / 9) == []


def test_a_dive_past_people_who_walk_and_jump_is_found() -> None:
    dives = Person(dive_of(2.5, 4.8, 3.9), lambda s: 1.5 * max(0.0, s - 2.5), body_m=(1.2, 0.5))
    walks = Person(lambda s: 2.2, lambda s: 2.0 - 1.2 * (s - 3.0), color=(60, 60, 190))
    jumps = Person(edge_jump(3.0, 1.2), lambda s: -1.5 + 0.8 * (s - 3.0), color=(200, 60, 60))
    (found,) = watch(crowded_scene(dives, walks, jumps), aspect=16 / 9)
    assert found.entry_s == pytest.approx(entry_of(2.5, 4.8, 3.9), abs=BOUNDARY_S)


def followed_scene(center_m: Callable[[float], float], *, rate: float = 25.0, seconds: float = 7.0) -> Frames:
    """A camera whose view of 5 m is centred ``center_m(seconds)`` above the water."""
    rng = np.random.default_rng(1)
    rows_per_m = ROWS / 5.0
    tall = rng.integers(40, 140, (round(18 * rows_per_m) // 5, 8, 3)).repeat(5, 0).repeat(14, 1).astype(np.float32)
    for k in range(round(seconds * rate)):
        top = round((15.0 - center_m(k / rate) - 2.5) * rows_per_m)
        picture = tall[top : top + ROWS] + rng.normal(0, 2, (ROWS, COLUMNS, 1))
        yield np.clip(picture, 0, 255).astype(np.uint8), k / rate


def fall_of_camera(takeoff_s: float, up: float, fall_m: float) -> Callable[[float], float]:
    height, entry_s = dive_of(takeoff_s, up, fall_m), entry_of(takeoff_s, up, fall_m)
    return lambda time_s: 0.8 + (height(time_s) or 0.0 if time_s < entry_s else 0.0)


def eased_pan(begin_s: float, seconds: float, metres: float) -> Callable[[float], float]:
    def center(time_s: float) -> float:
        share = min(max((time_s - begin_s) / seconds, 0.0), 1.0)
        return 0.8 + metres * (1 - share * share * (3 - 2 * share))

    return center


@pytest.mark.parametrize(("up", "fall_m"), [(4.8, 3.0), (2.6, 10.0)])
@pytest.mark.parametrize("rate", [25.0, 60.0])
def test_a_dive_is_found_in_the_camera_that_follows_it(rate: float, up: float, fall_m: float) -> None:
    (dive,) = watch(followed_scene(fall_of_camera(2.5, up, fall_m), rate=rate))
    assert dive.entry_s == pytest.approx(entry_of(2.5, up, fall_m), abs=BOUNDARY_S)
    assert dive.takeoff_s == pytest.approx(2.5, abs=BOUNDARY_S)
    assert dive.found_by == "camera"


@pytest.mark.parametrize("seconds", [0.7, 1.0, 1.5, 2.5])
def test_a_pan_is_no_dive(seconds: float) -> None:
    assert watch(followed_scene(eased_pan(2.5, seconds, 9.0))) == []


def test_a_gap_within_the_fall_does_not_invent_a_dive() -> None:
    detector = BallisticDetector(aspect=COLUMNS / ROWS)
    found = []
    for picture, time_s in still_scene(dive_of(2.5, 4.8, 3.2)):
        if not 3.0 < time_s < 3.8:
            found += detector.update(picture, time_s, gap=3.8 <= time_s < 3.84)
    assert found == []


def test_after_a_gap_the_next_dive_is_found() -> None:
    detector = BallisticDetector(aspect=COLUMNS / ROWS)
    found = []
    for index, (picture, time_s) in enumerate(still_scene(dive_of(3.5, 4.8, 3.2), seconds=7.0)):
        found += detector.update(picture, time_s, gap=index == 10)
    assert len(found) == 1


@pytest.mark.parametrize(("camera", "height_m"), [("follow", 3), ("fixed", 10)])
def test_rendered_dives_are_found(camera: str, height_m: int) -> None:
    settings = MeetSettings(seed=11, dives=1, pause_s=0.0)
    settings = replace(settings, camera=camera, height_m=height_m)  # type: ignore[arg-type]
    result = measure(plan_meet(settings), BallisticDetector(16 / 9))
    assert (result.found, result.false_alarms) == (1, ())
    assert abs(result.entry_errors_s[0]) < BOUNDARY_S
    assert abs(result.takeoff_errors_s[0]) < BOUNDARY_S
    assert result.delays_s[0] < 1.2


def dive(entry_s: float) -> DetectedDive:
    return DetectedDive(entry_s - 1.4, entry_s, 1.0, "body")


def test_matching_pairs_each_dive_once_and_counts_the_rest() -> None:
    truth = [TrueDive(k, "107B", entry - 1.4, entry, 60.0) for k, entry in enumerate((10.0, 30.0, 50.0))]
    detected = [dive(10.1), dive(10.3), dive(29.8), dive(70.0)]
    pairs, alarms = match(truth, detected)
    assert [(true.index, found.entry_s) for true, found in pairs] == [(0, 10.1), (1, 29.8)]
    assert [alarm.entry_s for alarm in alarms] == [10.3, 70.0]


@pytest.mark.parametrize(("seen", "most"), [(0, 2.996), (1, 4.744), (5, 10.513)])
def test_the_bound_of_rare_events_is_poissons(seen: int, most: float) -> None:
    assert most_events(seen) == pytest.approx(most, abs=1e-3)


def test_the_summary_counts_by_dive_and_by_hour() -> None:
    result = Measurement("fixed", 3, 1, 50, 49, (3.0,), (0.1,), (0.1,), (0.5,), 1800.0, 1.0)
    text = summary([result, result])
    assert "98 of 100" in text
    assert "2.00 for 100 dives (95 %: at most 6.30)" in text
    assert "2.00 an hour" in text


def test_the_command_prints_and_writes_one_row_for_each_meet(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "figures.json"
    common = ["--dives", "1", "--seed", "11", "--cameras", "follow", "--heights-m", "3", "--pause-s", "0"]
    assert main(["detector", *common, "--meets", "2", "--size", "240", "180", "--json", str(path)]) == 0
    assert "recall 100.0 %" in capsys.readouterr().out
    (table,) = read_result(path).tables
    assert [row[2] for row in table.rows] == [11, 12]
    assert "2 of 2 dives" in table.note
    assert main(["detector", *common, "--json", "figures.txt"]) == 2


def test_the_size_it_was_made_for_is_the_scorers() -> None:
    frame = next(Scene(plan_meet(MeetSettings(dives=1))).frames())
    assert resize_frame(frame, ClipConfig()).shape == (ROWS, COLUMNS, 3)
