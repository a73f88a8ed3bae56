"""Findings of the doctor: a fact, and where something is wrong, what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(str, Enum):
    """Weight of a finding."""

    OK = "ok"
    ABSENT = "absent"
    """Not here, and nobody asked for it."""
    HINT = "hint"
    """It works, but could be better or may be missed."""
    ERROR = "error"
    """Something that was asked for will not work."""


@dataclass(frozen=True)
class Finding:
    """One fact about the machine, the bundle or the source."""

    level: Level
    text: str
    remedy: str = ""
    """Remedy, as a command where there is one."""


def ok(text: str, remedy: str = "") -> Finding:
    """A fact that needs nothing."""
    return Finding(Level.OK, text, remedy)


def absent(text: str, remedy: str = "") -> Finding:
    """Return a finding about something that is not installed; the remedy is for those who want it."""
    return Finding(Level.ABSENT, text, remedy)


def hint(text: str, remedy: str = "") -> Finding:
    """A fact that somebody should look at."""
    return Finding(Level.HINT, text, remedy)


def error(text: str, remedy: str = "") -> Finding:
    """A fact that stands in the way."""
    return Finding(Level.ERROR, text, remedy)


def split_advice(message: str) -> tuple[str, str]:
    """Divide an error's message into what is wrong, its first sentence, and what to do.

    Full stops within brackets are those of other people's messages.
    """
    depth = 0
    for place, character in enumerate(message):
        depth += (character == "(") - (character == ")")
        if depth <= 0 and message.startswith(". ", place):
            return message[:place], message[place + 2 :]
    return message, ""
