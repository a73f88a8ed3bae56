"""Course of a rendered meet: which dive happens when; everything follows from the seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import UserError
from mcore.synthetic.meet.settings import MeetSettings
from mcore.synthetic.plan import DivePlan, plan_dive

WALK_S = 3.0
"""A diver comes along the board for this long."""
_AFTER_S = 3.0
"""A dive is drawn for this long after its entry."""
_STAND_S = (2.0, 5.0)
"""From standing still on the board to take-off; the approach itself takes 1.6 s."""
_FIRST_PAUSE_S = 4.0
_MAX_TRIES = 200


@dataclass(frozen=True)
class TrueDive:
    """Ground truth of one dive of a rendered meet."""

    index: int
    dive_number: str
    takeoff_s: float
    """Time of the first frame of the flight, seconds."""
    entry_s: float
    """Time of the first frame in which the diver touches the water, seconds."""
    score: float
    """Points by the rules."""


@dataclass(frozen=True, eq=False)
class MeetDive:
    """One dive's place in a meet."""

    plan: DivePlan
    first_frame: int
    """Frame of the meet that shows the plan's first."""
    truth: TrueDive


@dataclass(frozen=True, eq=False)
class Meet:
    """A meet without its pixels."""

    settings: MeetSettings
    dives: tuple[MeetDive, ...]
    num_frames: int

    @property
    def truth(self) -> tuple[TrueDive, ...]:
        """Ground truth of all dives."""
        return tuple(dive.truth for dive in self.dives)


def plan_meet(settings: MeetSettings) -> Meet:
    """Plan a meet; the same settings give the same meet, anywhere.

    Raises:
        DiveNumberError: not a dive number.
        UserError: none of the numbers can be dived from this height.
    """
    rng = stream(settings, "course")
    rate = settings.rate
    now = round(_FIRST_PAUSE_S * rate)
    dives = []
    for index in range(settings.dives):
        now += round(WALK_S * rate)
        plan = _draw_dive(settings, rng)
        takeoff, entry = plan.transition_frames
        number, score = plan.dive_number, plan.score
        truth = TrueDive(index, number, (now + takeoff) / rate, (now + entry) / rate, score)
        dives.append(MeetDive(plan, now, truth))
        now += plan.num_frames + round(rng.uniform(0.5, 1.5) * settings.pause_s * rate)
    return Meet(settings, tuple(dives), now)


def stream(settings: MeetSettings, purpose: str) -> np.random.Generator:
    """Random numbers that only a meet's seed and a purpose decide: what moves besides does not disturb the dives."""
    return np.random.default_rng([settings.seed, *purpose.encode()])


def event_frames(rng: np.random.Generator, num_frames: int, rate: float, every_s: float) -> NDArray[np.int64]:
    """Draw frames at which something happens: independent of each other, every ``every_s`` seconds on average."""
    count = int(rng.poisson(num_frames / (rate * every_s)))
    return np.sort(rng.integers(0, num_frames, count))


def _draw_dive(settings: MeetSettings, rng: np.random.Generator) -> DivePlan:
    before_s = float(rng.uniform(*_STAND_S))
    for _ in range(_MAX_TRIES):
        number = settings.dive_numbers[int(rng.integers(len(settings.dive_numbers)))]
        seed = int(rng.integers(2**31))
        if _height_of(number, seed) == settings.height_m:
            return plan_dive(number, seed, before_s=before_s, after_s=_AFTER_S, fps=settings.rate, world=settings.world)
    raise UserError(
        f"none of {', '.join(settings.dive_numbers)} can be dived from {settings.height_m} m; choose other numbers"
    )


@cache
def _height_of(number: str, seed: int) -> int:
    return plan_dive(number, seed).height_m
