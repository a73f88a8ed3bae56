"""One line of a start list: an athlete's dive, and the checks that every way of entering it goes through."""

from __future__ import annotations

import math
import unicodedata
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum

from mcore.common.errors import UserError
from mcore.common.tables import read_number
from mcore.diving import NEWEST, DiveNumber, Edition, difficulties, difficulty, why_no_difficulty
from mcore.diving.difficulty import HEIGHTS_M, SYNCHRO_DIFFICULTY, SYNCHRO_ROUNDS

_MIN_DIFFICULTY, _MAX_DIFFICULTY = 0.9, 6.0
"""No dive lies outside: the rules' easiest is 1.2, the hardest in competition are below 5."""
_SAME_DIFFICULTY = 0.05
"""Difficulties are given to one decimal."""
_MAX_LETTERS = 80
_JOINERS = "\u200c\u200d"
_VIRAMA = 9
"""Canonical combining class of the signs that join consonants."""
_ARABIC_VOWELS = "".join(map(chr, range(0x064B, 0x0660)))


class EntryState(str, Enum):
    """Progress of an entry of the start list."""

    WAITING = "waiting"
    DONE = "done"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Entry:
    """An athlete's dive on the start list."""

    order: int
    """Its place in the list; no other entry has it."""
    athlete: str
    club: str = ""
    dive_number: str | None = None
    """As the rules spell it; None: not announced."""
    difficulty: float | None = None
    """As the list gives it, else as the rules do for the height; None: not known."""
    round: int | None = None
    state: EntryState = EntryState.WAITING
    dive: int | None = None
    """Number of the latest dive that counts for it; None: none yet."""
    height_m: float | None = None
    """Height of the board, metres; None: not given."""


def clean_text(text: str, name: str, *, required: bool = False) -> str:
    """Tidy a name: letters composed (Unicode NFC), no control characters, single spaces.

    Raises:
        UserError: empty though ``required``, or longer than any name.
    """
    composed = unicodedata.normalize("NFC", text)
    # Control characters and the marks that turn the direction of writing could make one name look like another.
    spaced = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in composed)
    shown = (c for i, c in enumerate(spaced) if unicodedata.category(c) != "Cf" or _joins(spaced, i))
    words = " ".join("".join(shown).split())
    if required and not words:
        raise UserError(f"{name} is empty")
    if len(words) > _MAX_LETTERS:
        raise UserError(f"{name} has {len(words)} letters; at most {_MAX_LETTERS}")
    return words


def _joins(text: str, index: int) -> bool:
    """Say whether a joiner is a part of the spelling: beside a virama (Indic scripts), or between Arabic letters.

    Anywhere else it is invisible (RFC 5892, appendix A), and would make two names of one.
    """
    if text[index] not in _JOINERS:
        return False
    before, after = text[:index][-1:], text[index + 1 :][:1]
    if _VIRAMA in (unicodedata.combining(before or " "), unicodedata.combining(after or " ")):
        return True
    vowels_skipped = text[:index].rstrip(_ARABIC_VOWELS)[-1:]
    return all(unicodedata.bidirectional(c or " ") == "AL" for c in (vowels_skipped, after))


def clean_number(text: str | None) -> str | None:
    """Read a dive number in any spelling; None and nothing but spaces: not announced.

    Raises:
        DiveNumberError: not a dive number.
    """
    return DiveNumber.parse(text).text if text and text.strip() else None


def clean_difficulty(value: str | float | None) -> float | None:
    """Read a degree of difficulty, a number or its text, with a decimal point or comma; None and "": not given.

    Raises:
        UserError: not a number, or one that no dive can have.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        number = read_number(value.strip(), "difficulty") if isinstance(value, str) else float(value)
    except UserError:
        number = math.nan
    if not _MIN_DIFFICULTY <= number <= _MAX_DIFFICULTY:
        raise UserError(
            f"difficulty is {value!r}; give a number from {_MIN_DIFFICULTY:g} to {_MAX_DIFFICULTY:g}, such as 3.2"
        )
    return number


def clean_height(value: str | float | None) -> float | None:
    """Read the height of a board, ``7.5``, ``7,5 m`` or a number; None and "": not given.

    Raises:
        UserError: none of the rules' heights.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    text = str(value).strip().casefold().removesuffix("m").strip()
    with suppress(UserError):
        if (height_m := read_number(text, "height")) in HEIGHTS_M:
            return height_m
    allowed = ", ".join(f"{height:g}" for height in HEIGHTS_M)
    raise UserError(f"height is {value!r}; give that of the board in metres: {allowed}")


def with_difficulty(entry: Entry, edition: Edition = NEWEST) -> Entry:
    """Give an entry the difficulty that the rules have for its dive from its height, where its list gives none."""
    if entry.difficulty is not None or entry.dive_number is None or entry.height_m is None:
        return entry
    return replace(entry, difficulty=difficulty(entry.dive_number, entry.height_m, edition))


def difficulty_warning(
    dive_number: str | None,
    given: float | None,
    round_: int | None = None,
    height_m: float | None = None,
    edition: Edition = NEWEST,
) -> str | None:
    """Say how a difficulty differs from the rules; None: it does not, or there is nothing to compare.

    Where a start list does not name the board, the difficulty from any height is right. Another one is never more than
    a warning: meets may follow other rules.

    Args:
        dive_number: as the rules spell it; None: not announced.
        given: difficulty; None: not given.
        round_: of the meet; the first two rounds of synchronised events have an assigned difficulty.
        height_m: of the board; None: any.
        edition: of the rules.
    """
    if dive_number is None:
        return None
    if height_m is not None and (why_none := why_no_difficulty(dive_number, height_m, edition)) is not None:
        return f"{dive_number} has no difficulty from {height_m:g} m: {why_none} ({edition})"
    if given is None:
        return None
    known = difficulties(dive_number, edition)
    if height_m is not None:
        known = {height_m: known[height_m]}
    assigned = abs(SYNCHRO_DIFFICULTY - given) < _SAME_DIFFICULTY
    if (assigned and round_ in SYNCHRO_ROUNDS) or any(
        abs(value - given) < _SAME_DIFFICULTY for value in known.values()
    ):
        return None
    what = f"difficulty {given:g} of {dive_number}"
    if not known:
        return f"{what} cannot be checked: {why_no_difficulty(dive_number, max(HEIGHTS_M), edition)} ({edition})"
    rules = ", ".join(f"{value:.1f} from {height:g} m" for height, value in known.items())
    hint = "; right only in the first two rounds of synchronised events" if assigned else ""
    return f"{what} is not in the rules of {edition} ({rules}){hint}"
