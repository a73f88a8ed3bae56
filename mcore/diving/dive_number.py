"""Dive numbers (World Aquatics competition regulations, 1.5): ``407C`` is an inward 3 1/2 somersaults, tuck.

Groups 1 to 4: group, flying (1) or not (0), half somersaults, position. Group 5: 5, direction, half somersaults,
half twists, position. Group 6: 6, direction, half somersaults, half twists where there are any, position.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, cast

from mcore.common.errors import DiveNumberError

Position = Literal["A", "B", "C", "D"]
POSITIONS: dict[Position, str] = {"A": "straight", "B": "pike", "C": "tuck", "D": "free"}
DIRECTIONS = {1: "forward", 2: "back", 3: "reverse", 4: "inward"}
"""Direction of take-off and rotation, by its digit."""
MAX_HALF_SOMERSAULTS = 11
MAX_HALF_TWISTS = 9

_PLAIN = re.compile(r"([1-4])([01])(\d{1,2})([ABC])")
_TWISTING = re.compile(r"5([1-4])(\d)(\d)([ABCD])")
_ARMSTAND = re.compile(r"6([1-4])(\d)(\d?)([ABCD])")


@dataclass(frozen=True)
class DiveNumber:
    """One dive of the rules, as its number says it.

    Example:
        >>> DiveNumber.parse("5253b").describe()
        'back 2 1/2 somersaults 1 1/2 twists pike'
    """

    group: int
    """1 forward, 2 back, 3 reverse, 4 inward, 5 twisting, 6 armstand."""
    direction: int
    """1 forward, 2 back, 3 reverse, 4 inward: the group itself in groups 1 to 4."""
    half_somersaults: int
    half_twists: int
    position: Position
    flying: bool = False
    """Straight for at least a quarter somersault before pike or tuck."""

    def __post_init__(self) -> None:
        if not 1 <= self.half_somersaults <= MAX_HALF_SOMERSAULTS and not (
            self.armstand and self.half_somersaults == 0
        ):
            raise DiveNumberError(
                f"{self.text}: {self.half_somersaults} half somersaults; allowed: 1 to {MAX_HALF_SOMERSAULTS}"
            )
        if self.half_twists > MAX_HALF_TWISTS or (self.group == 5 and self.half_twists == 0):
            raise DiveNumberError(f"{self.text}: {self.half_twists} half twists; allowed: 1 to {MAX_HALF_TWISTS}")
        if self.flying and self.position == "A":
            raise DiveNumberError(f"{self.text}: a flying dive is in pike or tuck (B or C), not straight")
        if self.position == "D" and self.half_twists == 0:
            raise DiveNumberError(f"{self.text}: the free position (D) is for dives with twists; allowed here: A, B, C")

    @classmethod
    def parse(cls, text: str) -> DiveNumber:
        """Read a dive number, in either case, with spaces around and within it.

        Args:
            text: such as ``407C``, ``5253b`` or ``6243D``.

        Raises:
            DiveNumberError: not a dive number of the rules.
        """
        clean = "".join(text.split()).upper()
        if clean == "600A":
            raise DiveNumberError(
                "600A has two numbers since the rules of 2025: 610A (back to the water) and 640A (facing it); give one"
            )
        if match := _PLAIN.fullmatch(clean):
            group, flying, somersaults, position = match.groups()
            numbers = (int(group), int(group), int(somersaults), 0)
        elif match := _TWISTING.fullmatch(clean):
            direction, somersaults, twists, position = match.groups()
            flying, numbers = "0", (5, int(direction), int(somersaults), int(twists))
        elif match := _ARMSTAND.fullmatch(clean):
            direction, somersaults, twists, position = match.groups()
            flying, numbers = "0", (6, int(direction), int(somersaults), int(twists or 0))
        else:
            raise DiveNumberError(
                f"{text[:40]!r} is not a dive number. Allowed: three or four digits (group, flying or direction, half "
                "somersaults, half twists) and a position A, B, C or D, such as 107B, 407C, 5253B or 6243D"
            )
        dive = cls(*numbers, cast("Position", position), flying == "1")
        if dive.text != clean:
            raise DiveNumberError(f"{text!r} is not how the rules write this dive; did you mean {dive.text}?")
        return dive

    @property
    def armstand(self) -> bool:
        """Return whether the dive starts from an armstand."""
        return self.group == 6

    @cached_property
    def text(self) -> str:
        """The number as the rules write it."""
        if self.group <= 4:
            return f"{self.group}{int(self.flying)}{self.half_somersaults}{self.position}"
        twists = "" if self.armstand and self.half_twists == 0 else str(self.half_twists)
        return f"{self.group}{self.direction}{self.half_somersaults}{twists}{self.position}"

    def describe(self) -> str:
        """Say the dive in words, such as ``inward 3 1/2 somersaults tuck``."""
        words = ["armstand"] if self.armstand else []
        words += [DIRECTIONS[self.direction]]
        words += ["flying"] if self.flying else []
        if self.armstand and self.half_somersaults == 0:
            words += ["fall"]
        elif self.half_somersaults == 1 and self.half_twists == 0:
            words += ["dive"]
        else:
            words += [_count(self.half_somersaults, "somersault")]
        words += [_count(self.half_twists, "twist")] if self.half_twists else []
        return " ".join([*words, POSITIONS[self.position]])

    def __str__(self) -> str:
        return self.text


def _count(halves: int, noun: str) -> str:
    whole, half = divmod(halves, 2)
    number = " ".join(part for part in (str(whole) if whole else "", "1/2" if half else "") if part)
    return f"{number} {noun}{'s' if halves > 2 else ''}"
