"""Label of a clip: what a person or the session says of it, checked by the rules, and as a line of a list of dives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mcore.common.errors import DiveNumberError, UserError
from mcore.common.tables import read_number
from mcore.data.label_checks import check_labels
from mcore.data.labels import LabelledDive
from mcore.data.manifest import DiveRecord, Origin
from mcore.diving import DiveNumber, Edition, difficulties, dive_score

Verdict = Literal["open", "dive", "no-dive", "bad-clip"]
_MAX_LETTERS = 120
_MAX_FRAME = 1_000_000


@dataclass(frozen=True)
class Label:
    """What is said of a clip; texts are as they were typed, so that nothing typed is lost."""

    verdict: Verdict = "open"
    """open: nobody has finished it; only a dive comes into the list."""
    takeoff_frame: int | None = None
    """First frame of the flight, counted from the clip's first frame."""
    entry_frame: int | None = None
    """First frame of the entry."""
    dive_number: str = ""
    difficulty: float | None = None
    judged: str = ""
    """Awards in the panel's order, such as ``7 7.5 7``, or a score."""
    by_rule: bool = False
    """Whether the session alone said so, and nobody looked."""

    def __post_init__(self) -> None:
        if max(len(self.dive_number), len(self.judged)) > _MAX_LETTERS:
            raise UserError(f"a text of more than {_MAX_LETTERS} letters")
        for frame in (self.takeoff_frame, self.entry_frame):
            if frame is not None and not 0 <= frame < _MAX_FRAME:
                raise UserError(f"frame {frame}; give a frame of the clip")


@dataclass(frozen=True)
class ClipFacts:
    """What a line of the list says of a clip besides its label."""

    path: Path
    start_s: float
    end_s: float
    num_frames: int
    origin: Origin
    event: str | None


@dataclass(frozen=True)
class Checked:
    """A label as the rules see it."""

    record: DiveRecord | None
    """Its line of the list, without a split; None: something is missing or wrong."""
    faults: tuple[str, ...]
    """What keeps it from being a line."""
    warnings: tuple[str, ...]
    """What is unusual."""


def check(label: Label, facts: ClipFacts, edition: Edition) -> Checked:
    """Make a line of the list of a label, by the rules.

    Args:
        label: of a clip; its verdict does not matter.
        facts: of the clip.
        edition: of the rules.
    """
    faults: list[str] = []
    number, score = "", 0.0
    first, second, count = label.takeoff_frame, label.entry_frame, facts.num_frames
    if first is None or second is None:
        faults.append("mark the take-off and the entry")
    elif not 0 < first < second < count:
        faults.append(f"take-off {first} and entry {second} of {count} frames: each stage needs a frame, in this order")
    try:
        number = DiveNumber.parse(label.dive_number).text
    except DiveNumberError as error:
        faults.append(str(error) if label.dive_number.strip() else "give the dive number")
    try:
        score = score_of(label.judged, label.difficulty)
    except UserError as error:
        faults.append(str(error))
    if faults or first is None or second is None:
        return Checked(None, tuple(faults), ())
    record = DiveRecord(
        path=facts.path,
        dive_number=number,
        score=score,
        difficulty=label.difficulty,
        num_frames=count,
        transition_frames=(first, second),
        start_s=round(facts.start_s, 3),
        end_s=round(facts.end_s, 3),
        origin=facts.origin,
        event=facts.event,
    )
    found = [
        each for each in check_labels(LabelledDive("", record), edition) if each.check not in ("split", "label-order")
    ]
    errors = tuple(each.message for each in found if each.severity == "error")
    warnings = tuple(each.message for each in found if each.severity == "warning")
    return Checked(None if errors else record, errors, warnings)


def score_of(judged: str, difficulty: float | None) -> float:
    """Score of a dive from what was typed: awards between spaces, or one number, which is the score.

    Raises:
        UserError: neither, awards that no panel gives, or awards without a difficulty.
    """
    words = judged.replace(";", " ").replace("/", " ").split()
    if not words:
        raise UserError("give the awards, or the score")
    numbers = [read_number(word, "an award" if len(words) > 1 else "the score") for word in words]
    if len(numbers) == 1:
        return numbers[0]
    if difficulty is None:
        raise UserError("give the difficulty: awards alone make no score")
    return dive_score(numbers, difficulty)


def difficulty_of(dive_number: str, height_m: float | None, edition: Edition) -> float | None:
    """Difficulty by the rules, where height or dive number leave no choice; None: there is one, or no such dive."""
    known = difficulties_of(dive_number, edition)
    if height_m is not None:
        return known.get(height_m)
    values = set(known.values())
    return values.pop() if len(values) == 1 else None


def difficulties_of(dive_number: str, edition: Edition) -> dict[float, float]:
    """Difficulties of a dive by the height of the board, metres; empty: it is no dive number."""
    try:
        return difficulties(dive_number, edition)
    except DiveNumberError:
        return {}
