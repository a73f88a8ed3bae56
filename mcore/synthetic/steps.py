"""A flight in labelled steps: which part is somersaults, which is twists, and when one turns into the other.

Data sets of dives name the steps between take-off and entry, such as "1.5 Twists" and "2.5 Soms.Pike".
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mcore.diving import DiveNumber
from mcore.diving.dive_number import POSITIONS, Position
from mcore.synthetic import choreography
from mcore.synthetic.faults import Faults
from mcore.synthetic.motion import Array

StepKind = Literal["somersaults", "twists"]
_CHANGE_SHARE = 0.10
"""Part of the flight in which one pose becomes the next."""
_LATE = 0.55
"""Share of the last step after which a diver opens at the earliest."""


@dataclass(frozen=True)
class FlightStep:
    """One step between take-off and entry."""

    kind: StepKind
    position: Position
    """How the body is held."""


def flight_steps(dive: DiveNumber, names: Sequence[str] | None, count: int) -> tuple[FlightStep, ...]:
    """Say what happens in each step of a flight.

    Args:
        dive: the dive, whose number decides where a name does not.
        names: of the steps between take-off and entry, such as ``2.5 Soms.Pike``; None where they are not known.
        count: number of steps.
    """
    kinds = _usual_kinds(dive, count)
    if names is not None and dive.half_twists and any("Twist" in name for name in names):
        kinds = ["twists" if "Twist" in name else "somersaults" for name in names]
    words = names or [""] * count
    return tuple(FlightStep(kind, _position(dive, word)) for kind, word in zip(kinds, words, strict=True))


def step_poses(
    dive: DiveNumber, faults: Faults, steps: Sequence[FlightStep], starts: Sequence[float], opening: float
) -> tuple[choreography.Keys, tuple[tuple[float, float], ...]]:
    """Poses and twists of a flight whose steps begin at given times.

    Args:
        dive: the dive.
        faults: what the diver does wrong.
        steps: of the flight.
        starts: when each begins, ascending shares of the flight; the first at 0.
        opening: when the diver would begin to open, as a share of the flight; later where the last step is late.

    Returns:
        Poses for ``Flight.poses`` and windows for ``Flight.twists``.
    """
    if len(steps) == 1:  # nothing is labelled within the flight
        return choreography.flight_poses(dive, faults, opening), (choreography.twist_window(dive, opening),)
    opening = max(opening, starts[-1] + _LATE * (1 - starts[-1]))
    opened = opening + min(0.16, 0.7 * (1 - opening))
    end = choreography.entry_pose(dive, faults)
    keys: list[tuple[float, Array]] = [(0.0, choreography.start_pose(dive))]
    twists = []
    for step, (begin, finish) in zip(steps, itertools.pairwise([*starts, opening]), strict=True):
        held = choreography.held_pose(step.position, faults)
        if step.kind == "twists":
            held = choreography.twisting_pose(faults)
            twists.append((begin, finish))
        keys += [(begin + min(_CHANGE_SHARE, 0.5 * (finish - begin)), held), (finish, held)]
    keys += [(opened, end), (1.0, end)]
    # A body without twists turns in no window, but a window there must be.
    return keys, tuple(twists) or ((0.0, 1.0),)


def _usual_kinds(dive: DiveNumber, count: int) -> list[StepKind]:
    """Order of steps whose names are not known: forward and armstand dives twist out of somersaults."""
    if not dive.half_twists:
        return ["somersaults"] * count
    first: StepKind = "somersaults" if dive.armstand or dive.direction == 1 else "twists"
    second: StepKind = "twists" if first == "somersaults" else "somersaults"
    return [second if i % 2 else first for i in range(count)]


def _position(dive: DiveNumber, name: str) -> Position:
    """How the body is held: as the number says, except that free dives are held as the step is called."""
    if dive.position != "D":
        return dive.position
    named: list[Position] = [letter for letter, word in POSITIONS.items() if word in name.lower()]
    return named[0] if named else "D"
