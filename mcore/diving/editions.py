"""Editions of the diving rules whose difficulties are held here, and what they differ in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


@dataclass(frozen=True)
class Edition:
    """One edition of the diving rules."""

    publisher: str
    valid_from: date
    armstand_inward: bool
    """Whether it has armstand dives with inward rotation, 64x."""

    def __str__(self) -> str:
        # Not strftime: its names of months follow the machine's language.
        day = self.valid_from
        return f"{self.publisher}, {day.day} {_MONTHS[day.month - 1]} {day.year}"


FINA_2017 = Edition("FINA", date(2017, 9, 12), armstand_inward=False)
WORLD_AQUATICS_2025 = Edition("World Aquatics", date(2025, 6, 25), armstand_inward=True)
"""No difficulty that both editions have differs between them."""
EDITIONS = (FINA_2017, WORLD_AQUATICS_2025)
"""Oldest first."""
NEWEST = EDITIONS[-1]

EditionYear = Literal["2017", "2025"]
"""Years by which commands take the editions."""
NEWEST_YEAR: EditionYear = "2025"


def edition_of(year: EditionYear) -> Edition:
    """Return the edition of a year."""
    return next(edition for edition in EDITIONS if str(edition.valid_from.year) == year)


BEFORE_2017: Mapping[tuple[str, float], float] = {
    ("207C", 3): 3.5,
    ("305B", 3): 2.9,
    ("305B", 10): 2.9,
    ("305C", 3): 2.7,
    ("305C", 10): 2.7,
    ("307C", 10): 3.3,
    ("5253B", 3): 3.3,
    ("5337D", 3): 3.4,
}
"""Difficulties that changed in 2017, by dive number and height; not a whole edition. They are what FineDiving's scores
of earlier years were made with, as those scores show."""
