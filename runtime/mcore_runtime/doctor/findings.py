"""What the doctor finds: a fact, and where something is wrong, what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "absent", "hint", "trouble"]
"""``absent``: not here, and nobody asked for it; ``hint``: it works, but could be better or may be missed; ``trouble``:
something that was asked for will not work."""


@dataclass(frozen=True)
class Finding:
    """One fact about the machine, the bundle or the source."""

    topic: str
    level: Level
    text: str
    remedy: str = ""
    """What to do, as a command where there is one."""


def ok(topic: str, text: str) -> Finding:
    """A fact that needs nothing."""
    return Finding(topic, "ok", text)


def absent(topic: str, text: str, remedy: str = "") -> Finding:
    """What is not here; the remedy is for those who want it."""
    return Finding(topic, "absent", text, remedy)


def hint(topic: str, text: str, remedy: str = "") -> Finding:
    """A fact that somebody should look at."""
    return Finding(topic, "hint", text, remedy)


def trouble(topic: str, text: str, remedy: str = "") -> Finding:
    """A fact that stands in the way."""
    return Finding(topic, "trouble", text, remedy)


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
