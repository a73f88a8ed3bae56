"""Commands of an operator, from the terminal or the page, as typed records.

    trigger                                   a dive has just ended
    skip, back                                pass over the current athlete; go back to the one before, to repeat
    go_to(order)                              make any entry the current one
    edit(order, athlete, club, dive_number, difficulty)      all but the order can be left out
    assign(number, order)                     say for which entry a dive was made; order None: for none
    set_dive(dive_number)                     number of dives of which the start list says nothing; None: unknown
    void(number), restore(number)             a dive was none, and its entry waits again; take that back
    accept(number)                            count the score of a dive that is unlike the known ones
    reveal(number)                            show a score that is held back until the judges' awards are in
    trust_sender(sender)                      believe another computer's messages about the meet from now on
    rescore(number)                           score a dive again, from the frames that were kept
    stop                                      end the session after the last score

A dive whose number turns out to be another is scored again by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from msgspec import UNSET, UnsetType

from mcore.common.errors import UserError
from mcore.common.typed_json import convert


@dataclass(frozen=True)
class Trigger:
    """A dive has just ended."""


@dataclass(frozen=True)
class Skip:
    """Pass over the current athlete."""


@dataclass(frozen=True)
class Back:
    """Go back to the athlete before, to repeat."""


@dataclass(frozen=True)
class GoTo:
    """Make any entry the current one."""

    order: int


@dataclass(frozen=True)
class Edit:
    """Correct an entry of the start list; what is left out stays."""

    order: int
    athlete: str | UnsetType = UNSET
    club: str | UnsetType = UNSET
    dive_number: str | UnsetType | None = UNSET
    """New dive number; None: not announced."""
    difficulty: float | UnsetType | None = UNSET
    """New difficulty; None: not given."""
    height_m: float | UnsetType | None = UNSET
    """New height of the board, metres; None: not given."""

    def __post_init__(self) -> None:
        if not self.changes:
            raise UserError("nothing to change; give athlete, club, dive_number, difficulty or height_m")

    @property
    def changes(self) -> dict[str, Any]:
        """Corrected values, by field of the entry."""
        values = {part.name: getattr(self, part.name) for part in fields(self) if part.name != "order"}
        return {name: value for name, value in values.items() if value is not UNSET}


@dataclass(frozen=True)
class Assign:
    """Say for which entry a dive was made; order None: for none."""

    number: int
    order: int | None


@dataclass(frozen=True)
class SetDive:
    """Set the number of dives of which the start list says nothing; None: unknown."""

    dive_number: str | None


@dataclass(frozen=True)
class Void:
    """Say that a dive was none."""

    number: int


@dataclass(frozen=True)
class Restore:
    """Take ``Void`` back."""

    number: int


@dataclass(frozen=True)
class Accept:
    """Count the score of a dive although it is unlike the dives that the bundle knows."""

    number: int


@dataclass(frozen=True)
class Reveal:
    """Show the score of a dive before the judges' awards are in."""

    number: int


@dataclass(frozen=True)
class TrustSender:
    """Believe the messages of another computer about the meet, and no longer those of the one before."""

    sender: str


@dataclass(frozen=True)
class Rescore:
    """Score a dive again, from the frames that were kept."""

    number: int


@dataclass(frozen=True)
class Stop:
    """End the session after the last score."""


StateCommand = Skip | Back | GoTo | Edit | Assign | SetDive | Void | Restore | Accept | Reveal | TrustSender
"""Commands that change the state; the others are for the session."""
Command = StateCommand | Trigger | Rescore | Stop
_KINDS: Mapping[str, type[Command]] = {
    "trigger": Trigger,
    "skip": Skip,
    "back": Back,
    "go_to": GoTo,
    "edit": Edit,
    "assign": Assign,
    "set_dive": SetDive,
    "void": Void,
    "restore": Restore,
    "accept": Accept,
    "reveal": Reveal,
    "trust_sender": TrustSender,
    "rescore": Rescore,
    "stop": Stop,
}


def parse_command(name: str, arguments: Mapping[str, Any]) -> Command:
    """Read a command.

    Args:
        name: such as ``go_to``.
        arguments: as the table above says.

    Raises:
        UserError: no such command, or other arguments.
    """
    kind = _KINDS.get(name)
    if kind is None:
        raise UserError(f"there is no command {name!r}; allowed: {', '.join(_KINDS)}")
    takes = [part.name for part in fields(kind)]
    needed = {part.name for part in fields(kind) if part.default is MISSING}
    if not needed <= set(arguments) <= set(takes):
        raise UserError(f"{name}: got {', '.join(arguments) or 'nothing'}; it takes {', '.join(takes) or 'nothing'}")
    return convert(kind, dict(arguments), name)
