"""Layout of DiveRecorder's message on UDP port 58091, as third parties describe it: 75 fields, the last one ``^``.

The messages are broadcast, unsigned and unencrypted: whatever comes is untrusted. ``split`` checks form only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mcore.common.errors import UserError

PORT = 58091
MAX_BYTES = 8192
"""Longest message that is read; a real one is below 2 kB."""
SEPARATOR, END = "|", "^"
REFEREE, EVENT_END, UPDATE = "REFEREE", "AVIDEO", "UPDATE"
"""First fields: a dive, before or after it; the end of an event; a notice for DiveRecorder's own computers."""
MAX_AWARDS = 11
AWARDS = tuple(f"award_{number}" for number in range(1, MAX_AWARDS + 1))
FIELDS = (
    *("kind", "event", "computer", "mode", "new_event", "round", "attempt", "start_number"),
    *("diver_1", "family_name_1", "diver_2", "family_name_2", "dive", "position", "difficulty", "board"),
    *AWARDS,
    *("judges_total", "points", "total", "display_mode", "rank", "prediction", "likely_rank"),
    *("background_colour", "text_colour_a", "text_colour_b", "caption_colour"),
    *(f"line_{number}" for number in range(1, 9)),
    *("synchro", "show_total", "show_prediction", "judges", "penalty", "station", "stations"),
    *("first_name_1", "team_1", "team_code_1", "first_name_2", "team_2", "team_code_2"),
    *("event_name", "description", "meet_title", "rounds", "divers", "short_description", "conversion"),
    *("short_event_name", "second_team_1", "second_team_code_1", "second_team_2", "second_team_code_2"),
    *("seconds_per_dive", "do_not_rank", "team_event", "end"),
)
NUM_FIELDS = len(FIELDS)
PENALTY_CODES = {"failed": "1", "restart": "2", "wrong_position": "3", "arms": "4"}
"""Code of each penalty; "0": none."""
_FIRST_SYNCHRONISATION = 6
"""Place of the first award for synchronisation; a pair's execution judges come before it."""
SYNCHRO_PANELS: Mapping[int, tuple[int, int]] = {5: (2, 3), 7: (4, 3), 9: (4, 5), 11: (6, 5)}
"""By the number of judges: how many of them judge the execution of both divers together, and the synchronisation."""


class MessageError(UserError):
    """A message that cannot be read, or must not be believed."""


def places(judges: int, synchro: bool) -> tuple[tuple[str, int], ...]:
    """Name of each judge of a panel, and the place of the award among the eleven, from 0.

    Raises:
        MessageError: there is no such panel.
    """
    if not synchro:
        if not 1 <= judges <= MAX_AWARDS:
            raise MessageError(f"{judges} judges; allowed: 1 to {MAX_AWARDS}")
        return tuple((f"J{number}", number - 1) for number in range(1, judges + 1))
    if judges not in SYNCHRO_PANELS:
        allowed = ", ".join(map(str, SYNCHRO_PANELS))
        raise MessageError(f"{judges} judges of a synchronised pair; allowed: {allowed}")
    execution, together = SYNCHRO_PANELS[judges]
    return (
        *((f"E{number}", number - 1) for number in range(1, execution + 1)),
        *((f"S{number}", _FIRST_SYNCHRONISATION + number - 1) for number in range(1, together + 1)),
    )


def split(data: bytes) -> list[str]:
    """Cut a datagram into its fields, without the end mark.

    Text is UTF-8, or else Windows-1252, as the program's computers write it.

    Raises:
        MessageError: it is too long, has no end mark, or does not begin like any of the messages.
    """
    if len(data) > MAX_BYTES:
        raise MessageError(f"a message of {len(data)} bytes; allowed: {MAX_BYTES}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    text = text.strip(" \r\n\t\0")
    if not text.endswith(END):
        raise MessageError(f"a message without its end mark {END}: {text[:40]!r}")
    fields = text[: -len(END)].removesuffix(SEPARATOR).split(SEPARATOR)
    if fields[0] not in (REFEREE, EVENT_END, UPDATE):
        raise MessageError(f"a message that begins with {fields[0][:40]!r}; known: {REFEREE}, {EVENT_END}, {UPDATE}")
    return fields


def join(fields: Sequence[str]) -> bytes:
    """Write fields as DiveRecorder does; what would end a field or the message becomes a space."""
    clean = ("".join(" " if c in (SEPARATOR, END) or not c.isprintable() else c for c in field) for field in fields)
    text = SEPARATOR.join([*clean, END]) + "\r\n"
    try:
        return text.encode("cp1252")
    except UnicodeEncodeError:
        return text.encode("utf-8")
