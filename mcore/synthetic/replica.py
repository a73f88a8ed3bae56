"""Rendered replicas: a dive for each label of a real one, with its number, difficulty, score, frames and steps.

A replica is a pure function of a label and a seed. Its faults earn awards that give the label's score by the rules;
everything else that can be seen comes from a random stream that never meets the score.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mcore.common.errors import UserError
from mcore.common.splits import Split
from mcore.diving import DiveNumber
from mcore.synthetic.choreography import flight_steps, step_poses
from mcore.synthetic.heights import DrawnHeightM
from mcore.synthetic.motion import HARMLESS_TRAVEL_M, Flight, Timing, fall, flight_seconds, takeoff_speed, trace
from mcore.synthetic.panel import PanelKind, Verdict, panel_of, verdict_for
from mcore.synthetic.plan import FPS, OPENING, DivePlan
from mcore.synthetic.render import Hideable, RenderedDive, check_size, render_look
from mcore.synthetic.venue import Nuisance, draw_nuisance, venue_stream

SPEEDS: dict[DrawnHeightM, tuple[float, float]] = {3: (3.6, 6.0), 10: (1.0, 3.6)}
"""Upward speeds at take-off that divers reach, m/s."""
ARMSTAND_SPEEDS = (0.3, 1.4)


@dataclass(frozen=True)
class ReplicaLabel:
    """Label of a real dive, which its replica shares."""

    clip: str
    """Name of the real clip, such as ``01/1``; decides everything random, together with the seed."""
    split: Split
    dive_number: str
    difficulty: float
    score: float
    """Points."""
    num_frames: int
    step_frames: tuple[int, ...]
    """First frame of every step after the take-off; the last step is the entry."""
    step_names: tuple[str, ...] | None
    """Names of the steps between take-off and entry; None where they are not known."""
    height_m: DrawnHeightM
    synchronised: bool
    """Whether the real dive was judged as one of a synchronised pair; its replica shows one diver."""
    completed: bool = False
    """Whether the take-off's end was not labelled and is a guess; in the replica it is exact nevertheless."""

    def __post_init__(self) -> None:
        edges = (0, *self.step_frames, self.num_frames)
        if len(self.step_frames) < 2 or any(before >= after for before, after in itertools.pairwise(edges)):
            raise UserError(
                f"{self.clip}: steps begin at frames {self.step_frames} of {self.num_frames}; a replica needs at least "
                "two, ascending, after the first frame and before the end"
            )
        if not (0 < self.difficulty < math.inf and math.isfinite(self.score)):
            raise UserError(
                f"{self.clip}: difficulty {self.difficulty}, score {self.score}; both are finite, the first above 0"
            )


@dataclass(frozen=True, eq=False)
class Replica:
    """One planned replica."""

    label: ReplicaLabel
    seed: int
    plan: DivePlan
    """The dive; its score is the label's."""
    panel: PanelKind
    residual_points: float
    """Label's score less the one that the awards give: 0, or rounding, unless no awards give the label's."""
    playback_speed: float
    """Seconds of the dive for each second of the video: below 1 is slow motion."""
    nuisance: Nuisance


def plan_replica(label: ReplicaLabel, seed: int, severities: Mapping[str, float] | None = None) -> Replica:
    """Plan the replica of a dive; the same arguments give the same replica, anywhere.

    Args:
        label: of the real dive.
        seed: not negative.
        severities: of some faults, by name, in place of those that give the label's score. Only what is drawn of them
            changes: awards and score stay the label's.

    Raises:
        DiveNumberError: not a dive number.
    """
    dive = DiveNumber.parse(label.dive_number)
    verdict, nuisance = replica_verdict(label, seed), replica_nuisance(label, seed)
    first, entry = label.step_frames[0], label.step_frames[-1]
    speed = _playback_speed(dive, label)
    rate = FPS / speed

    changed: dict[str, Any] = dict(severities or {})
    faults = replace(verdict.faults, **changed)
    # The label's frames fix how long the flight lasts, so the speed at take-off follows from it and not the other way.
    rng = _stream(label, seed, "motion")
    phase, opening, travel = rng.uniform(0.1, 0.9), rng.uniform(*OPENING), rng.uniform(*HARMLESS_TRAVEL_M)
    seconds = float((entry - first - 0.5 + phase) / rate)  # the water is touched between two frames' middles
    steps = flight_steps(dive, label.step_names, len(label.step_frames) - 1)
    starts = [(frame - first) / rate / seconds for frame in label.step_frames[:-1]]
    poses, twists = step_poses(dive, faults, steps, starts, float(opening))
    flight = Flight(dive, label.height_m, faults, poses, twists, float(travel))
    start, reach = fall(flight)
    timing = Timing(rate, label.num_frames, first, seconds)
    motion = trace(flight, timing, start, takeoff_speed(start[1], reach, seconds))
    plan = DivePlan(
        dive_number=dive.text,
        seed=seed,
        height_m=label.height_m,
        difficulty=label.difficulty,
        awards=verdict.awards,
        score=label.score,
        faults=faults,
        fps=FPS,
        num_frames=label.num_frames,
        transition_frames=(first, entry),
        motion=motion,
        frames_per_second=rate,
    )
    return Replica(label, seed, plan, verdict.kind, round(label.score - verdict.score, 2), speed, nuisance)


def replica_verdict(label: ReplicaLabel, seed: int) -> Verdict:
    """Decide the faults and awards of a replica."""
    kind = panel_of(label.score, label.difficulty, label.synchronised)
    return verdict_for(label.score, label.difficulty, kind, _stream(label, seed, "faults"))


def replica_nuisance(label: ReplicaLabel, seed: int) -> Nuisance:
    """Decide where and how a replica is filmed, and who dives."""
    return draw_nuisance(label.split, _stream(label, seed, "look"))


def render_replica(
    replica: Replica, *, width: int = 320, height: int = 180, hidden: Hideable | None = None
) -> RenderedDive:
    """Render a planned replica; the same replica gives the same pixels.

    Args:
        replica: from ``plan_replica``.
        width: of a frame, pixels, even.
        height: of a frame, pixels, even.
        hidden: what is left out of the picture.

    Raises:
        UserError: a size is odd or below 32.
    """
    check_size(width, height)
    return render_look(
        replica.plan,
        replica.nuisance.look,
        width=width,
        height=height,
        venue_rng=venue_stream(replica.nuisance.venue),
        splash_rng=_stream(replica.label, replica.seed, "splash"),
        rng=_stream(replica.label, replica.seed, "pixels"),
        hidden=hidden,
    )


def usual_flight_frames(dive: DiveNumber, height_m: DrawnHeightM) -> int:
    """Frames that a dive is usually in the air, at 25 frames a second."""
    low, high = _speeds(dive, height_m)
    return round(_flight_seconds((low + high) / 2, height_m) * FPS)


def _playback_speed(dive: DiveNumber, label: ReplicaLabel) -> float:
    """Speed at which a diver can have been in the air for the labelled frames; 1 wherever that is possible.

    It depends on the label alone, not on faults.
    """
    seen = (label.step_frames[-1] - label.step_frames[0]) / FPS
    shortest, longest = (_flight_seconds(speed, label.height_m) for speed in _speeds(dive, label.height_m))
    return min(max(seen, shortest), longest) / seen


def _speeds(dive: DiveNumber, height_m: DrawnHeightM) -> tuple[float, float]:
    return ARMSTAND_SPEEDS if dive.armstand else SPEEDS[height_m]


def _flight_seconds(speed: float, height_m: DrawnHeightM) -> float:
    """Flight of a centre of mass that falls as far as the board is high."""
    return flight_seconds(float(height_m), 0.0, speed)


def _stream(label: ReplicaLabel, seed: int, purpose: str) -> np.random.Generator:
    """Random numbers that only a clip's name, a seed and a purpose decide: no stream knows the score."""
    return np.random.default_rng([seed, zlib.crc32(label.clip.encode()), zlib.crc32(purpose.encode())])
