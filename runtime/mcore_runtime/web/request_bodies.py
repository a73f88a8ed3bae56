"""Request bodies of commands, checked before anything is done: exact names, exact types, nothing else."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Field

_MAX_NUMBER = 1_000_000
Number = Annotated[int, Field(ge=1, le=_MAX_NUMBER)]
"""Of a dive, from 1."""
Order = Annotated[int, Field(ge=0, le=_MAX_NUMBER)]
"""Of an entry of the start list."""
Name = Annotated[str, Field(max_length=80)]
DiveText = Annotated[str, Field(min_length=1, max_length=12)]
"""A dive number; the session checks whether it is one."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Plain(_Body):
    """A command that needs nothing else."""

    name: Literal["trigger", "skip", "back", "stop"]


class GoTo(_Body):
    """Make an entry the current one."""

    name: Literal["go_to"]
    order: Order


class Edit(_Body):
    """Correct an entry; what is left out stays."""

    name: Literal["edit"]
    order: Order
    athlete: Name = ""
    club: Name = ""
    dive_number: DiveText | None = None
    difficulty: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] | None = None


class SetDive(_Body):
    """Set the number of dives of which the start list says nothing; null: unknown."""

    name: Literal["set_dive"]
    dive_number: DiveText | None


class OfDive(_Body):
    """Take a dive out of the results, put it back, or score it again."""

    name: Literal["void", "restore", "rescore"]
    number: Number


class Assign(_Body):
    """Say for which entry a dive was made; null: for none."""

    name: Literal["assign"]
    number: Number
    order: Order | None


# typing.Union, because pydantic reads it at run time, on Python 3.10 too.
Command = Annotated[Union[Plain, GoTo, Edit, SetDive, OfDive, Assign], Field(discriminator="name")]  # noqa: UP007


def arguments_of(command: _Body) -> dict[str, Any]:
    """Return a command's arguments, only those that were given, without its name."""
    return {name: value for name, value in command.model_dump(exclude_unset=True).items() if name != "name"}


def validation_message(errors: list[dict[str, Any]]) -> str:
    """Say in one line what pydantic found; what was sent is not repeated."""
    lines = []
    for error in errors[:4]:
        place = ".".join(str(part) for part in error["loc"] if part not in ("body", "path"))
        lines.append(f"{place}: {error['msg']}" if place else str(error["msg"]))
    return "; ".join(lines)
