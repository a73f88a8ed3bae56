"""What a browser may ask, checked before anything is done: exact names, exact types, nothing beside them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Field

_MOST = 1_000_000
Number = Annotated[int, Field(ge=1, le=_MOST)]
"""Of a dive, from 1."""
Order = Annotated[int, Field(ge=0, le=_MOST)]
"""Of an entry of the start list."""
Name = Annotated[str, Field(max_length=80)]
DiveText = Annotated[str, Field(min_length=1, max_length=12)]
"""A dive number; whether it is one, the session says."""


class _Command(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Plain(_Command):
    """A command that needs nothing else."""

    name: Literal["trigger", "skip", "back", "stop"]


class GoTo(_Command):
    """Make an entry the current one."""

    name: Literal["go_to"]
    order: Order


class Edit(_Command):
    """Correct an entry; what is left out stays."""

    name: Literal["edit"]
    order: Order
    athlete: Name = ""
    club: Name = ""
    dive_number: DiveText | None = None
    difficulty: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] | None = None


class SetDive(_Command):
    """Set the number of dives of which the start list says nothing; null: unknown."""

    name: Literal["set_dive"]
    dive_number: DiveText | None


class OfDive(_Command):
    """Take a dive out of the results, put it back, or score it again."""

    name: Literal["void", "restore", "rescore"]
    number: Number


class Assign(_Command):
    """Say for which entry a dive was made; null: for none."""

    name: Literal["assign"]
    number: Number
    order: Order | None


# typing.Union, because pydantic reads it at run time, on Python 3.10 too.
Command = Annotated[Union[Plain, GoTo, Edit, SetDive, OfDive, Assign], Field(discriminator="name")]  # noqa: UP007


def arguments_of(command: _Command) -> dict[str, Any]:
    """Return a command's arguments, only those that were given, without its name."""
    return {name: value for name, value in command.model_dump(exclude_unset=True).items() if name != "name"}


def what_is_wrong(faults: list[dict[str, Any]]) -> str:
    """Say in one line what pydantic found; what was sent is not repeated."""
    lines = []
    for fault in faults[:4]:
        place = ".".join(str(part) for part in fault["loc"] if part not in ("body", "path"))
        lines.append(f"{place}: {fault['msg']}" if place else str(fault["msg"]))
    return "; ".join(lines)
