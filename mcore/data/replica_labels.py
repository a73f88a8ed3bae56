"""Labels of rendered replicas, from those of a data set: board, panel, and steps that are all there."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from mcore.common.errors import DiveNumberError, UserError
from mcore.data.labels import ARROW, VALIDATION_SHARE, LabelledDive, LeftOut, with_validation
from mcore.data.manifest import DiveRecord
from mcore.diving import NEWEST, DiveNumber, difficulty
from mcore.synthetic.heights import DRAWN_HEIGHTS_M, DrawnHeightM, check_can_be_drawn
from mcore.synthetic.replica import ReplicaLabel, usual_flight_frames

_BOARD = re.compile(r"(?<!\d)(3|10)m(?![a-z])")
_TAKE_OFFS = ("Forward", "Back", "Reverse", "Inward", "Arm.")
_ARMSTANDS = "6"
_MIN_STEP_FRAMES = 4
_CLEAR = 0.9
"""Share of an event's dives from one board from which the others, of older difficulty tables, are from it too."""


@dataclass(frozen=True)
class _Steps:
    frames: tuple[int, ...]
    names: tuple[str, ...] | None
    completed: bool = False


def replica_labels(
    dives: Sequence[LabelledDive], validation_share: float = VALIDATION_SHARE
) -> tuple[list[ReplicaLabel], list[LeftOut]]:
    """Complete the labels of a data set for replicas.

    The board is what the clip's name says (``10m``), or what the difficulty says by the rule book; where both boards
    give it, or none, or nearly all dives of the same event say another, that of most of them. A take-off whose end is
    not labelled is given a usual one.

    Args:
        dives: of a data set, with their official splits.
        validation_share: part of the training dives of each number that becomes the validation split, chosen as
            ``mcore-data convert`` chooses it.

    Returns:
        The labels in the order of the data set, and the dives that can have no replica.
    """
    dives = with_validation(dives, validation_share)
    heights = _heights([(dive.name, dive.record) for dive in dives if dive.record is not None])
    labels, left_out = [], []
    for dive in dives:
        try:
            labels.append(_label(dive, heights.get(dive.name)))
        except UserError as error:  # noqa: PERF203 - one dive must not hide the others
            left_out.append(LeftOut(dive.name, str(error)))
    return labels, left_out


def _label(dive: LabelledDive, height_m: DrawnHeightM | None) -> ReplicaLabel:
    record = dive.record
    if record is None:
        raise UserError(dive.problem or "labels cannot be read")
    if height_m is None:
        raise UserError(f"{record.dive_number} of difficulty {record.difficulty} is from neither 3 nor 10 m ({NEWEST})")
    if record.difficulty is None or record.split is None or record.num_frames is None or dive.step_frames is None:
        raise UserError("a replica needs a difficulty, a split, the number of frames and the first frame of each step")
    number = DiveNumber.parse(record.dive_number)
    check_can_be_drawn(number)
    steps = _complete_steps(number, dive, height_m)
    return ReplicaLabel(
        clip=dive.name,
        split=record.split,
        dive_number=record.dive_number,
        difficulty=record.difficulty,
        score=record.score,
        num_frames=record.num_frames,
        step_frames=steps.frames,
        step_names=steps.names,
        height_m=height_m,
        synchronised="synchro" in dive.name.lower(),
        completed=steps.completed,
    )


def _complete_steps(dive: DiveNumber, labelled: LabelledDive, height_m: DrawnHeightM) -> _Steps:
    """Put steps in order, and add the end of a take-off that is not labelled."""
    frames = labelled.step_frames or ()
    if labelled.step_changes is None:
        return _Steps(frames, None)
    changes = sorted(zip(frames, labelled.step_changes, strict=True))
    frames = tuple(frame for frame, _ in changes)
    parts = [change.split(ARROW) for _, change in changes]
    if not parts or any(len(part) != 2 for part in parts):
        return _Steps(frames, None)
    names = [parts[0][0], *(after for _, after in parts)]
    if names[0].startswith(_TAKE_OFFS):
        return _Steps(frames, tuple(names[1:-1]))
    # The first label is within the flight already: nobody marked where the take-off ends.
    usual = frames[-1] - usual_flight_frames(dive, height_m)
    taken_off = max(1, min(usual, frames[0] - _MIN_STEP_FRAMES))
    return _Steps((taken_off, *frames), tuple(names[:-1]), completed=True)


def _heights(records: Sequence[tuple[str, DiveRecord]]) -> dict[str, DrawnHeightM]:
    """Board of each dive; a dive alone may leave it open, its event rarely does."""
    found: dict[str, DrawnHeightM | None] = {}
    events: dict[str, Counter[DrawnHeightM]] = defaultdict(Counter)
    for name, record in records:
        found[name] = _height(name, record)
        if (height := found[name]) is not None:
            events[_event(name)][height] += 1
    everywhere = sum(events.values(), Counter[DrawnHeightM]())
    heights = {}
    for name, record in records:
        height = found[name]
        counts = events[_event(name)] or everywhere
        usual, count = counts.most_common(1)[0] if counts else (None, 0)
        # Older tables of difficulty name the other board now and then; only armstands are certain by themselves.
        if height is None or (count >= _CLEAR * counts.total() and not record.dive_number.startswith(_ARMSTANDS)):
            height = usual
        if height is not None:
            heights[name] = height
    return heights


def _height(name: str, record: DiveRecord) -> DrawnHeightM | None:
    """Board that a clip's name or its difficulty says; None where neither does."""
    if match := _BOARD.search(name):
        return 3 if match[1] == "3" else 10
    if record.difficulty is None:
        return None
    try:
        dive = DiveNumber.parse(record.dive_number)
    except DiveNumberError:  # said where the label is completed
        return None
    if dive.armstand:
        return 10
    factor = record.difficulty
    known = [(h, d) for h in DRAWN_HEIGHTS_M if (d := difficulty(dive, h)) is not None]
    exact = [h for h, d in known if math.isclose(d, factor, abs_tol=1e-6)]
    return exact[0] if len(exact) == 1 else None


def _event(name: str) -> str:
    return name.rsplit("/", 1)[0]
