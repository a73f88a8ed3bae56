"""FineDiving's labels without its images: as JSON lines of this project, and as E2E-Spot publishes them.

E2E-Spot (Hong et al., ECCV 2022) has them in its public repository, in ``data/finediving``: train.json, val.json and
test.json. Its validation dives are training dives of the official split, and are read as such. One line is one dive:

    {"clip": "01/1", "split": "test", "dive_number": "407C", "difficulty": 3.2, "score": 88.0, "frames": 85,
     "events": [[2, "Inward -> 3.5 Soms.Tuck"], [34, "3.5 Soms.Tuck -> Entry"]]}
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcore.common.errors import UserError
from mcore.common.files import write_text
from mcore.common.tables import read_text
from mcore.common.typed_json import convert, decode, encode
from mcore.data.labels import LabelledDive, LeftOut, rules_spelling, transitions_of_steps
from mcore.data.manifest import MAX_BYTES, MAX_FRAMES, DiveRecord, Split, check_path, json_lines, list_folder

EVENT_OFFSET = 1
"""From an event of the JSON lines to the first frame of the new step.

An event's frame counts from 0, within the clip, and is the last frame of the step that ends, as in the published
training targets. Three facts of the 3,000 labels say so: four dives have an event at 0 although the step before it
is named, so it had a frame, and counting from 1 is out; and of the 1,369 dives shared with MTL-AQA 60 % have a first
event of 4k - 1, so that the new step begins at a multiple of 4, the annotators' grid.
"""
_E2E_SPOT_FILES: dict[str, Split] = {"train.json": "train", "val.json": "train", "test.json": "test"}
_E2E_SPOT_SEPARATOR = "__"
"""Between event and index, which are folders in FineDiving."""


@dataclass(frozen=True)
class _Line:
    """One dive of the labels as JSON lines."""

    clip: str
    split: Split
    dive_number: str
    difficulty: float
    score: float
    frames: int
    events: tuple[tuple[int, str], ...]
    """Last frame of each step but the last one, counted from 0, with the change such as ``Inward -> 3.5 Soms.Tuck``;
    the change is empty where steps have no names."""

    def __post_init__(self) -> None:
        check_path(self.clip)
        if max([self.frames, *(frame for frame, _ in self.events)]) > MAX_FRAMES:
            raise UserError(f"a frame number above {MAX_FRAMES}")


def read_finediving_labels(path: str | Path, frames: str | Path | None = None) -> list[LabelledDive]:
    """Read labels kept as JSON lines: clip, split, dive_number, difficulty, score, frames, events.

    Args:
        path: the file.
        frames: the folder of the events, which need not exist; by default the file's own folder.

    Returns:
        One dive a line, in order; lines that cannot be read have a ``problem`` and no record.

    Raises:
        UserError: no such file.
    """
    path = Path(path)
    root = Path(frames) if frames is not None else list_folder(path)
    return [_dive(row, f"line {line}", f"{path}, line {line}", root) for line, row in json_lines(_text(path), path)]


def write_finediving_labels(path: str | Path, dives: Iterable[LabelledDive]) -> list[LeftOut]:
    """Write labels as JSON lines, atomically, in the order of events and of dives in them.

    Args:
        path: the file to write.
        dives: of FineDiving, as they were read from it or from E2E-Spot.

    Returns:
        The dives that the format has no place for, such as those without a split.
    """
    lines, left_out = [], []
    for dive in dives:
        try:
            lines.append(_line(dive))
        except UserError as error:  # noqa: PERF203 - one dive must not hide the others
            left_out.append(LeftOut(dive.name, str(error)))
    lines.sort(key=lambda line: _order(line.clip))
    write_text(path, "".join(encode(line) + "\n" for line in lines))
    return left_out


def _line(dive: LabelledDive) -> _Line:
    record = dive.record
    if record is None:
        raise UserError(dive.problem or "labels cannot be read")
    if record.split is None or record.difficulty is None or record.num_frames is None or dive.step_frames is None:
        raise UserError("it lacks a split, a difficulty, or the step of each frame")
    if not (math.isfinite(record.score) and math.isfinite(record.difficulty)):
        raise UserError(f"a score of {record.score}, a difficulty of {record.difficulty}")
    changes = dive.step_changes or ("",) * len(dive.step_frames)
    return _Line(
        clip=dive.name,
        split=record.split,
        dive_number=record.dive_number,
        difficulty=record.difficulty,
        score=record.score,
        frames=record.num_frames,
        events=tuple((f - EVENT_OFFSET, change) for f, change in zip(dive.step_frames, changes, strict=True)),
    )


def is_e2e_spot(folder: Path) -> bool:
    """Return whether a folder holds E2E-Spot's files of FineDiving's labels."""
    return all((folder / name).is_file() for name in _E2E_SPOT_FILES)


def read_e2e_spot(folder: str | Path, frames: str | Path | None = None) -> list[LabelledDive]:
    """Read E2E-Spot's files of FineDiving's labels.

    Args:
        folder: of train.json, val.json and test.json.
        frames: the folder of FineDiving's events, which need not exist; by default ``folder``.

    Returns:
        One dive an entry, in the order of events and of dives in them; entries that cannot be read have a
        ``problem`` and no record.

    Raises:
        UserError: a file that is missing or is no list of objects.
    """
    folder = Path(folder)
    root = Path(frames) if frames is not None else folder
    dives = []
    for name, split in _E2E_SPOT_FILES.items():
        path = folder / name
        entries = decode(list[dict[str, Any]], _text(path), str(path))
        for number, entry in enumerate(entries, start=1):
            dives.append(_dive(_line_of(entry, split), f"{name}, entry {number}", f"{path}, entry {number}", root))
    return sorted(dives, key=lambda dive: _order(dive.name))


def _line_of(entry: dict[str, Any], split: Split) -> dict[str, Any] | UserError:
    """An entry of E2E-Spot as a line, whose types are checked as those of lines are."""
    try:
        source = entry["_source_info"]
        return {
            "clip": entry["video"].replace(_E2E_SPOT_SEPARATOR, "/", 1),
            "split": split,
            "dive_number": source["action_type"],
            "difficulty": source["difficulty"],
            "score": source["dive_score"],
            "frames": entry["num_frames"],
            "events": [(event["frame"], event["comment"]) for event in entry["events"]],
        }
    except (AttributeError, KeyError, TypeError) as error:
        return UserError(f"not an entry of E2E-Spot's FineDiving ({type(error).__name__}: {error})")


def _text(path: Path) -> str:
    try:
        return read_text(path, max_bytes=MAX_BYTES)[0]
    except (OSError, UserError) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def _order(name: str) -> tuple[str, int, str]:
    """Sorts events by name, and ``01/2`` before ``01/10``."""
    event, _, index = name.rpartition("/")
    return event, int(index) if index.isdecimal() else 0, index


def _dive(values: dict[str, Any] | UserError, name: str, listed_at: str, root: Path) -> LabelledDive:
    try:
        if isinstance(values, UserError):
            raise values
        row = convert(_Line, values, listed_at)
    except UserError as error:
        return LabelledDive(name, None, problem=str(error))
    step_frames = tuple(frame + EVENT_OFFSET for frame, _ in row.events)
    record = DiveRecord(
        path=root / row.clip,
        dive_number=rules_spelling(row.dive_number),
        score=row.score,
        difficulty=row.difficulty,
        split=row.split,
        num_frames=row.frames,
        transition_frames=transitions_of_steps(step_frames),
        origin="real",
        event=row.clip.rpartition("/")[0] or None,
        listed_at=listed_at,
    )
    changes = tuple(change for _, change in row.events)
    return LabelledDive(row.clip, record, step_frames, step_changes=changes if all(changes) else None)
