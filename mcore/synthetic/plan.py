"""Plan of a rendered dive, without pixels: motion in every frame, faults, awards and score.

Everything follows from the dive number and a seed.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from mcore.common.errors import UserError
from mcore.diving import DiveNumber, difficulty, dive_score, why_no_difficulty
from mcore.diving.judging import COUNTED_AWARDS
from mcore.synthetic import choreography
from mcore.synthetic.faults import FAULT_STAGES, Faults, Stage, draw_faults
from mcore.synthetic.heights import DRAWN_HEIGHTS_M, DrawnHeightM, check_can_be_drawn
from mcore.synthetic.motion import HARMLESS_TRAVEL_M, Flight, Motion, Timing, fall, flight_seconds, takeoff_speed, trace
from mcore.synthetic.panel import judge
from mcore.synthetic.worlds import JUDGES, World

DEMO_NUMBERS = ("107B", "407C", "307C", "5253B", "205B", "6243D")
"""Common dives that look different: every group but one, tuck, pike and free."""
FPS = 25
"""Frames a second of rendered dives."""
TAKEOFF_SPEED: dict[DrawnHeightM, tuple[float, float]] = {3: (4.6, 5.2), 10: (2.4, 3.1)}
"""Upward speed at take-off, m/s: a springboard throws, a platform does not."""
_ARMSTAND_SPEED = (0.7, 1.1)
OPENING = (0.60, 0.68)
"""When a diver begins to open for the entry, as a share of the flight, unless that is a fault."""


@dataclass(frozen=True, eq=False)
class DivePlan:
    """One dive, ready to be rendered."""

    dive_number: str
    seed: int
    height_m: DrawnHeightM
    """Height of the board: 3 (springboard) or 10 (platform)."""
    difficulty: float
    awards: tuple[float, ...]
    """Awards of every judge, 0 to 10."""
    score: float
    """Points, by the rules."""
    faults: Faults
    fps: int
    """Frames a second of the video."""
    num_frames: int
    transition_frames: tuple[int, int]
    """First frame of the flight, first frame in which the diver touches the water."""
    motion: Motion
    frames_per_second: float = FPS
    """Frames for each second of the dive; not ``fps`` where the video is slower or faster than life."""
    world: World = "standard"
    """Where it is dived, which decides its judges and looks."""

    @property
    def stage_points(self) -> tuple[float, float, float]:
        """Points that the faults of take-off, flight and entry cost, at most 0 each; exact to a thousandth."""
        awards: dict[Stage, float] = dict.fromkeys(get_args(Stage), 0.0)
        for fault, deduction in self.faults.deductions.items():
            awards[FAULT_STAGES[fault]] -= deduction
        take_off, flight, entry = (round(COUNTED_AWARDS * self.difficulty * award, 3) for award in awards.values())
        return take_off, flight, entry


def plan_dive(
    dive_number: str,
    seed: int,
    *,
    before_s: float | None = None,
    after_s: float | None = None,
    fps: int = FPS,
    severities: Mapping[str, float] | None = None,
    world: World = "standard",
) -> DivePlan:
    """Plan a dive; the same arguments give the same dive, anywhere.

    Args:
        dive_number: such as ``407C``.
        seed: not negative.
        before_s: seconds shown before take-off; None: as the seed decides, 0.6 to 1.5.
        after_s: seconds shown after the entry; None: as the seed decides, 0.7 to 1.8.
        fps: frames a second.
        severities: of some faults, by name, in place of those that the seed decides; all else stays the same.
        world: where it is dived.

    Raises:
        DiveNumberError: not a dive number.
        UserError: the rules have no difficulty for it from 3 or 10 m, or its movement cannot be drawn.
    """
    dive = DiveNumber.parse(dive_number)
    rng = random_stream(dive, seed, "dive")
    height, factor = _choose_height(dive, rng)
    changed: dict[str, Any] = dict(severities or {})
    # Faults have a stream of their own, so that nothing else of the dive depends on how many there are.
    fault_rng = random_stream(dive, seed, "faults")
    faults = replace(draw_faults(fault_rng), **changed)
    awards = judge(faults, fault_rng, JUDGES[world])
    motion, transitions = _move(dive, height, faults, rng, (before_s, after_s), fps)
    return DivePlan(
        dive_number=dive.text,
        seed=seed,
        height_m=height,
        difficulty=factor,
        awards=awards,
        score=dive_score(awards, factor),
        faults=faults,
        fps=fps,
        num_frames=len(motion.center_m),
        transition_frames=transitions,
        motion=motion,
        frames_per_second=fps,
        world=world,
    )


def random_stream(dive: DiveNumber, seed: int, purpose: str) -> np.random.Generator:
    """Random numbers that only a dive, a seed and a purpose decide; looks never disturb the dive itself."""
    return np.random.default_rng([seed, zlib.crc32(dive.text.encode()), zlib.crc32(purpose.encode())])


def _choose_height(dive: DiveNumber, rng: np.random.Generator) -> tuple[DrawnHeightM, float]:
    check_can_be_drawn(dive)
    known = [(h, d) for h in DRAWN_HEIGHTS_M if (d := difficulty(dive, h)) is not None]
    if not known:
        why = "; ".join(dict.fromkeys(str(why_no_difficulty(dive, height)) for height in DRAWN_HEIGHTS_M))
        raise UserError(f"{dive.text} ({dive.describe()}) has no degree of difficulty from 3 or 10 m: {why}")
    return known[int(rng.integers(len(known)))]


def _move(
    dive: DiveNumber,
    height: DrawnHeightM,
    faults: Faults,
    rng: np.random.Generator,
    shown_s: tuple[float | None, float | None],
    fps: int,
) -> tuple[Motion, tuple[int, int]]:
    drawn_s = (rng.uniform(0.6, 1.5), rng.uniform(0.7, 1.8))  # as loosely cut as broadcasts are
    before, after = (drawn if wanted is None else wanted for drawn, wanted in zip(drawn_s, shown_s, strict=True))
    first_flight_frame = round(before * fps)
    opening, travel = float(rng.uniform(*OPENING)), float(rng.uniform(*HARMLESS_TRAVEL_M))
    speed = float(rng.uniform(*(_ARMSTAND_SPEED if dive.armstand else TAKEOFF_SPEED[height])))

    def fly(faults: Faults) -> Flight:
        poses = choreography.flight_poses(dive, faults, opening)
        return Flight(dive, height, faults, poses, (choreography.twist_window(dive, opening),), travel)

    # The flight lasts as long as without faults: its length must not tell the score.
    start, reach = fall(fly(Faults()))
    seconds = flight_seconds(start[1], reach, speed)
    flight = fly(faults)
    start, reach = fall(flight)
    speed = takeoff_speed(start[1], reach, seconds)
    entry_frame = first_flight_frame + math.ceil(seconds * fps - 0.5)  # the first is half a frame after take-off
    timing = Timing(fps, entry_frame + round(after * fps), first_flight_frame, seconds)
    return trace(flight, timing, start, speed), (first_flight_frame, entry_frame)
