"""FineDiving (Xu et al., CVPR 2022) as its authors publish it, and its labels as JSON lines.

The official data set is three pickles and a folder of images:

    Annotations/fine-grained_annotation_aqa.pkl   {(event, index): [dive number, score, difficulty, transition
                                                  frames, step of each frame]}
    Annotations/train_split.pkl, test_split.pkl   [(event, index), ...]
    FINADiving_MTL_256s/<event>/<index>/<frame>.jpg

The published loaders of FineDiving and MCoRe read fields 0, 1, 2 and 4; what field 3 counts from could not be
confirmed, so transitions are taken from field 4, as there: a step begins at its label's first frame.

Indices are positions in the folder's sorted images, from 0. The published training targets are one less (the last
frame of the step before); ours are the first frame of a step, as the rest of this project has it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from mcore.common.errors import UserError
from mcore.common.tables import read_text
from mcore.common.typed_json import convert
from mcore.data.labels import LabelledDive, rules_spelling, transitions_of_steps
from mcore.data.manifest import MAX_BYTES, MAX_FRAMES, DiveRecord, Split, check_path, json_lines, list_folder
from mcore.data.safe_pickle import load_pickle

ANNOTATIONS = "fine-grained_annotation_aqa.pkl"
SPLIT_FILES: dict[Split, str] = {"train": "train_split.pkl", "test": "test_split.pkl"}
EVENT_OFFSET = 1
"""From an event of the JSON lines to the first frame of the new step.

An event's frame counts from 0, within the clip, and is the last frame of the step that ends, as in the published
training targets. Three facts of the 3,000 labels say so: four dives have an event at 0 although the step before it
is named, so it had a frame, and counting from 1 is out; and of the 1,369 dives shared with MTL-AQA 60 % have a first
event of 4k - 1, so that the new step begins at a multiple of 4, the annotators' grid.
"""

Key = tuple[str, int]


@dataclass(frozen=True)
class _LabelsLine:
    """One dive of the labels as JSON lines."""

    clip: str
    split: Split
    dive_number: str
    difficulty: float
    score: float
    frames: int
    events: tuple[tuple[int, str], ...]
    """Last frame of each step but the last one, counted from 0, with the change such as ``Inward -> 3.5 Soms.Tuck``."""

    def __post_init__(self) -> None:
        check_path(self.clip)
        if max([self.frames, *(frame for frame, _ in self.events)]) > MAX_FRAMES:
            raise UserError(f"a frame number above {MAX_FRAMES}")


def is_finediving(folder: Path) -> bool:
    """Return whether a folder holds the official annotations, itself or one level down."""
    return _annotations(folder) is not None


def read_finediving(root: str | Path, frames: str | Path | None = None) -> list[LabelledDive]:
    """Read the official data set.

    Args:
        root: the folder of the pickles, or one above it.
        frames: the folder of the events; by default searched in ``root`` and two levels below.

    Returns:
        Every dive of the annotations or the splits, in the order of the annotations, with the official splits;
        images need not be there. ``num_frames`` is the number of frame labels.

    Raises:
        UserError: a pickle is missing, unsafe, or not of this layout.
    """
    annotations_path = _annotations(Path(root))
    if annotations_path is None:
        raise UserError(f"no {ANNOTATIONS} in {root} or its folders; give the folder of FineDiving's annotations")
    folder = annotations_path.parent
    loaded = load_pickle(annotations_path)
    if not isinstance(loaded, dict):
        raise UserError(f"{annotations_path} holds a {type(loaded).__name__}; expected {{(event, index): [...]}}")
    annotations = {_normal(key) or key: fields for key, fields in loaded.items()}
    splits: dict[Key, list[Split]] = {}
    for split, name in SPLIT_FILES.items():
        for key in _keys(folder / name):
            splits.setdefault(key, []).append(split)
    frames_root = Path(frames) if frames is not None else find_frames(Path(root), annotations)
    keys = [*annotations, *(key for key in splits if key not in annotations)]
    return [_dive(key, annotations.get(key), splits, frames_root) for key in keys]


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
    try:
        text, _ = read_text(path, max_bytes=MAX_BYTES)
    except (OSError, UserError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    return [_labels_line(row, f"line {line}", path, root) for line, row in json_lines(text, path)]


def find_frames(root: Path, keys: Mapping[Any, object]) -> Path:
    """Find the folder of the events: the first within two levels of ``root`` that holds one; else ``root``."""
    events = {str(key[0]) for key in keys if isinstance(key, tuple) and key}
    for candidate in _folders(root, depth=2):
        if any((candidate / event).is_dir() for event in events):
            return candidate
    return root


def _folders(root: Path, depth: int) -> Iterator[Path]:
    """List a folder and those below it, breadth first."""
    level = [root]
    yield root
    for _ in range(depth):
        level = [child for folder in level for child in _children(folder)]
        yield from level


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(child for child in folder.iterdir() if child.is_dir())
    except OSError:  # not ours to read
        return []


def _annotations(folder: Path) -> Path | None:
    found = (path / ANNOTATIONS for path in _folders(folder, depth=1)) if folder.is_dir() else iter(())
    return next((path for path in found if path.is_file()), None)


def _keys(path: Path) -> list[Key]:
    value = load_pickle(path)
    keys = [_normal(key) for key in value] if isinstance(value, list | tuple) else [None]
    if None in keys:
        raise UserError(f"{path} is not a list of (event, index); FineDiving's split files are")
    return [key for key in keys if key is not None]


def _normal(key: object) -> Key | None:
    """Return the (event, index) of a key, whatever kinds of text and number it has; None for other keys."""
    try:
        event, index = cast("tuple[Any, Any]", key)
        return str(event), int(index)
    except (TypeError, ValueError):
        return None


def _dive(key: Any, fields: Any, splits: Mapping[Key, Sequence[Split]], frames_root: Path) -> LabelledDive:
    name = "/".join(map(str, key)) if isinstance(key, tuple) else str(key)
    found = splits.get(key, [])
    if fields is None:
        return LabelledDive(name, None, problem=f"in {SPLIT_FILES[found[0]]}, but without annotations")
    try:
        if _normal(key) is None:
            raise ValueError(f"the key is {key!r}")
        check_path(name)
        number, score, difficulty, _, labels = fields
        step_frames = first_frames(labels)
        record = DiveRecord(
            path=frames_root / key[0] / str(key[1]),
            dive_number=rules_spelling(number),
            score=float(score),
            difficulty=float(difficulty),
            split=found[0] if found else None,
            num_frames=len(labels),
            transition_frames=transitions_of_steps(step_frames),
        )
    except (TypeError, ValueError, IndexError, UserError) as error:
        expected = "[dive number, score, difficulty, transition frames, step of each frame]"
        return LabelledDive(name, None, problem=f"labels are not {expected} of an (event, index): {error}")
    return LabelledDive(name, record, step_frames, _label_problem(labels, found))


def first_frames(labels: Sequence[object]) -> tuple[int, ...]:
    """First frame of every step after the first, from the step of each frame.

    Args:
        labels: (N,) names or numbers of steps.

    Raises:
        ValueError: no labels, or not one a frame.
    """
    values = np.asarray(labels)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"frame labels of shape {values.shape}, expected one for each frame")
    first: dict[object, int] = {}
    for frame, label in enumerate(values.tolist()):
        first.setdefault(label, frame)
    return tuple(sorted(first.values())[1:])


def _label_problem(labels: Sequence[object], splits: Sequence[Split]) -> str | None:
    values = np.asarray(labels).tolist()
    changes = sum(before != after for before, after in itertools.pairwise(values))
    if changes != len(set(values)) - 1:
        return f"a step comes back after another one: {changes} changes between {len(set(values))} steps"
    if len(set(splits)) > 1:
        return "in both train_split.pkl and test_split.pkl"
    return f"listed {len(splits)} times in {SPLIT_FILES[splits[0]]}" if len(splits) > 1 else None


def _labels_line(values: dict[str, Any] | UserError, name: str, path: Path, root: Path) -> LabelledDive:
    origin = f"{path}, {name}"
    try:
        if isinstance(values, UserError):
            raise values
        row = convert(_LabelsLine, values, origin)
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
        origin=origin,
    )
    return LabelledDive(row.clip, record, step_frames, step_changes=tuple(change for _, change in row.events))
