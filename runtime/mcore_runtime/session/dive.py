"""One dive of a session as a frozen record, the same from the cut to the page.

It is JSON at the edges only: in the store, on standard output, on the page and in webhooks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from mcore.common.errors import UserError
from mcore.common.typed_json import convert, decode, encode
from mcore_runtime.meet.record import JudgesResult
from mcore_runtime.scoring.result import DiveScore
from mcore_runtime.scoring.streaming import had_head_start

ENTRY_FIELDS = ("order", "athlete", "club", "dive_number")
"""Fields that come from the dive's entry in the start list."""
HELD = "held"
"""Shown in place of the status of a dive whose score is held back until the judges' awards are in."""
SCORED_AGAIN = "scored again"
"""Begins the note of a dive that was; it names the score that it had before."""
_OLD_FINDERS = {"body": "motion", "camera": "camera-tracking"}
"""Ways of finding a dive, by the words of schema 1."""


class _Word(str, Enum):
    """An enum that is written as its value everywhere, in templates and messages too."""

    def __str__(self) -> str:
        return str(self.value)


class DiveStatus(_Word):
    """Status of a dive."""

    SCORING = "scoring"
    """It has no score yet."""
    SCORED = "scored"
    UNLIKE = "unlike"
    """It has a score, which does not count: it is unlike the dives that the bundle knows; ``reasons`` says how."""
    INVALID = "invalid"
    """The stream has a gap within the clip, so that no score would be honest; ``reasons`` says where."""
    FAILED = "failed"
    """The scorer could not; ``reasons`` says why."""
    VOID = "void"
    """The operator says that it was no dive."""


class FoundBy(_Word):
    """Way in which a dive was found in the stream."""

    MOTION = "motion"
    """The detector, from a body that falls through a picture that stands still."""
    CAMERA_TRACKING = "camera-tracking"
    """The detector, from a camera that follows the diver down."""
    SPOTTER = "spotter"
    """The detector's network, from what a dive looks like."""
    OPERATOR = "operator"
    WHOLE_FILE = "whole-file"


@dataclass(frozen=True)
class LiveDive:
    """One dive of a session, scored or not."""

    number: int
    """Its place in the session, from 1."""
    status: DiveStatus
    dive_number: str | None
    """As it was announced; None: unknown."""
    found_by: FoundBy
    created: str
    """Time of the result, ISO 8601, UTC."""
    source: str
    """The public form of the source's address."""
    start_s: float
    """Time of the clip's first frame on the stream's clock, seconds."""
    end_s: float
    """Time of the clip's last frame."""
    takeoff_s: float | None = None
    """Detected take-off on the stream's clock; None: not detected."""
    entry_s: float | None = None
    """Detected entry; None: not detected."""
    time_to_score_ms: float | None = None
    """From the arrival of the clip's last frame to the score; None where there is no score, or it came later."""
    dropped: int = 0
    """Frames of the clip that nobody took in time."""
    result: DiveScore | None = None
    reasons: tuple[str, ...] = ()
    """Reasons why it has no score that counts; empty where it has one."""
    notes: tuple[str, ...] = ()
    """Remarks on the dive."""
    recording: str | None = None
    """File with the dive's video, below the session's folder, with forward slashes."""
    recording_start_s: float | None = None
    """Time of its first frame on the stream's clock: it begins up to half a second before the clip."""
    order: int | None = None
    """Entry of the start list for which it was made; None: for none."""
    athlete: str = ""
    club: str = ""
    status_before: DiveStatus | None = None
    """Status that a void dive had before; None: it is not void."""
    judges: JudgesResult | None = None
    """What the judges gave it, as the meet's software says; None: nothing came, or nobody can tell whose it is."""
    held: bool = False
    """Whether its score is kept from everybody until the judges' awards are in."""

    def __post_init__(self) -> None:
        if self.number < 1:
            raise UserError(f"the number of a dive is {self.number}; at least 1")
        if self.status in (DiveStatus.SCORED, DiveStatus.UNLIKE) and self.result is None:
            raise UserError(f"dive {self.number} is {self.status.value} and has no result")

    @property
    def score(self) -> float | None:
        """The score that counts, points; None: there is none."""
        return self.result.score if self.result is not None and self.status is DiveStatus.SCORED else None

    @property
    def is_accepted(self) -> bool:
        """Return whether its score counts, or will when it is no longer void, although it is unlike the known dives."""
        counts = DiveStatus.SCORED in (self.status, self.status_before)
        return counts and self.result is not None and bool(self.result.why_unlike)

    @property
    def hides_score(self) -> bool:
        """Return whether there is a score that nobody may see yet."""
        return self.held and self.result is not None

    @property
    def shown_notes(self) -> list[str]:
        """Remarks that may be shown now: those of a score that is held back name none of its scores."""
        return [note for note in self.notes if not (self.hides_score and note.startswith(SCORED_AGAIN))]

    @property
    def had_head_start(self) -> bool:
        """Return whether the prefix of its backbone was computed before its clip was over."""
        return self.result is not None and had_head_start(self.result.timing_ms)

    def to_text(self) -> str:
        """Return one line of JSON; numbers that are not finite become null."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return encode(values | {"result": None if self.result is None else self.result.to_json()})

    def to_json(self) -> dict[str, Any]:
        """Return plain containers, as ``to_text`` writes them."""
        values: dict[str, Any] = json.loads(self.to_text())
        return values

    def to_shown_json(self) -> dict[str, Any]:
        """Return what may be shown now: as ``to_json``, but of a score that is held back nothing at all."""
        values = self.to_json()
        if self.hides_score:
            values |= {"result": None, "reasons": [], "notes": self.shown_notes, "status": shown_status(self)}
        return values

    def judged(self, result: DiveScore, *, accept_unlike: bool) -> LiveDive:
        """Return it with a result, which counts unless it is unlike the known dives and nobody accepts that.

        A dive that is void stays void, and would be the other again.
        """
        is_unlike = bool(result.why_unlike) and not accept_unlike
        status = DiveStatus.UNLIKE if is_unlike else DiveStatus.SCORED
        scored = replace(self, result=result, reasons=result.why_unlike if is_unlike else ())
        if self.status is DiveStatus.VOID:
            return replace(scored, status_before=status)
        return replace(scored, status=status)

    @classmethod
    def from_json(cls, values: Mapping[str, Any], what: str) -> LiveDive:
        """Read what ``to_json`` returned, of this version or an older one.

        Args:
            values: plain containers.
            what: begins the message of an error.

        Raises:
            UserError: it is something else.
        """
        try:
            result = None if values["result"] is None else DiveScore.from_json(values["result"])
        except (UserError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{what}: {error}; it was written by another version: read it with that one") from error
        found_by = _OLD_FINDERS.get(values.get("found_by", ""), values.get("found_by"))
        return convert(cls, {**values, "found_by": found_by, "result": result}, what)

    @classmethod
    def from_text(cls, text: str, what: str) -> LiveDive:
        """Read what ``to_text`` returned; see ``from_json``."""
        return cls.from_json(decode(dict[str, Any], text, what), what)


def shown_status(dive: LiveDive) -> str:
    """Return a dive's status as it may be shown: ``held`` for one whose score is kept back."""
    has_score = dive.status in (DiveStatus.SCORED, DiveStatus.UNLIKE)
    return HELD if has_score and dive.hides_score else dive.status.value


def utc_now() -> str:
    """The time as records hold it: ISO 8601, UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
