"""Flags that say nothing about what was asked for are refused: whoever gives one expects it to do something."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from mcore.common.errors import UserError


def refuse_idle(arguments: Any, meant: Collection[str], when: str, prefixes: Mapping[str, str]) -> None:
    """Refuse flags that were given and would not be looked at.

    Args:
        arguments: dataclass of all the flags; one counts as given if its value is not its default.
        meant: names of the fields that are looked at.
        when: what was asked for, such as ``with --list``.
        prefixes: how the flags of a nested dataclass begin, by its field.

    Raises:
        UserError: names the flags.
    """
    idle: list[str] = []
    for field in dataclasses.fields(arguments):
        if field.name not in meant:
            value = getattr(arguments, field.name)
            nested = field.name in prefixes
            idle += (prefixes[field.name] + name for name in _given(value)) if nested else _given(arguments, field.name)
    if idle:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in idle)
        raise UserError(f"{flags} would change nothing {when}: leave {'it' if len(idle) == 1 else 'them'} out")


def _given(arguments: Any, *names: str) -> list[str]:
    """Name the fields, of all or of some, that differ from their defaults."""
    return [
        field.name
        for field in dataclasses.fields(arguments)
        if field.default is not dataclasses.MISSING
        and (not names or field.name in names)
        and getattr(arguments, field.name) != field.default
    ]
