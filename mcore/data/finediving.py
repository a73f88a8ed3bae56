"""FineDiving (Xu et al., CVPR 2022) as its authors publish it: pickles, and a folder of images.

    Annotations/fine-grained_annotation_aqa.pkl   {(event, index): [dive number, score, difficulty, transition
                                                  frames, step of each frame]}
    Annotations/Sub_action_Types_Table.pkl        {step: name}; without it, steps have no names
    Annotations/train_split.pkl, test_split.pkl   [(event, index), ...]; or in train_test_split/
    FINADiving_MTL_256s/<event>/<index>/<frame>.jpg

The published loaders of FineDiving and MCoRe read fields 0, 1, 2 and 4; what field 3 counts from could not be
confirmed, so transitions are taken from field 4, as there: a step begins at its label's first frame.

Indices are positions in the folder's sorted images, from 0. The published training targets are one less (the last
frame of the step before); ours are the first frame of a step, as the rest of this project has it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from mcore.common.errors import UserError
from mcore.data.labels import ARROW, LabelledDive, rules_spelling, transitions_of_steps
from mcore.data.manifest import DiveRecord, Split, check_path
from mcore.data.safe_pickle import load_pickle

ANNOTATIONS = "fine-grained_annotation_aqa.pkl"
STEP_NAMES = "Sub_action_Types_Table.pkl"
SPLIT_FILES: dict[Split, str] = {"train": "train_split.pkl", "test": "test_split.pkl"}
_SPLIT_FOLDER = "train_test_split"

Key = tuple[str, int]


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
        for key in _keys(_split_path(folder, name)):
            splits.setdefault(key, []).append(split)
    frames_root = Path(frames) if frames is not None else find_frames(Path(root), annotations)
    names = _step_names(folder / STEP_NAMES)
    keys = [*annotations, *(key for key in splits if key not in annotations)]
    return [_dive(key, annotations.get(key), splits, frames_root, names) for key in keys]


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


def _split_path(folder: Path, name: str) -> Path:
    """Path of a split's file, which is kept beside the annotations or in a folder beside theirs."""
    own = folder.parent / _SPLIT_FOLDER / name
    return own if own.is_file() and not (folder / name).exists() else folder / name


def _step_names(path: Path) -> dict[Any, str]:
    if not path.is_file():
        return {}
    table = load_pickle(path)
    if not isinstance(table, dict):
        raise UserError(
            f"{path} holds a {type(table).__name__}; expected {{step: name}}. Without the file, steps have no names"
        )
    return {step: str(name) for step, name in table.items()}


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


def _dive(
    key: Any, fields: Any, splits: Mapping[Key, Sequence[Split]], frames_root: Path, names: Mapping[Any, str]
) -> LabelledDive:
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
            origin="real",
            event=key[0],
        )
    except (TypeError, ValueError, IndexError, UserError) as error:
        expected = "[dive number, score, difficulty, transition frames, step of each frame]"
        return LabelledDive(name, None, problem=f"labels are not {expected} of an (event, index): {error}")
    steps = [names.get(step) for step in _first_frame_of_each(labels)]
    known = [step for step in steps if step is not None]
    changes = tuple(ARROW.join(pair) for pair in itertools.pairwise(known)) if len(known) == len(steps) else None
    return LabelledDive(name, record, step_frames, _label_problem(labels, found), changes)


def first_frames(labels: Sequence[object]) -> tuple[int, ...]:
    """First frame of every step after the first, from the step of each frame.

    Args:
        labels: (N,) names or numbers of steps.

    Raises:
        ValueError: no labels, or not one a frame.
    """
    return tuple(_first_frame_of_each(labels).values())[1:]


def _first_frame_of_each(labels: Sequence[object]) -> dict[object, int]:
    """First frame of every step, in the order in which they begin."""
    values = np.asarray(labels)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"frame labels of shape {values.shape}, expected one for each frame")
    first: dict[object, int] = {}
    for frame, label in enumerate(values.tolist()):
        first.setdefault(label, frame)
    return first


def _label_problem(labels: Sequence[object], splits: Sequence[Split]) -> str | None:
    values = np.asarray(labels).tolist()
    changes = sum(before != after for before, after in itertools.pairwise(values))
    if changes != len(set(values)) - 1:
        return f"a step comes back after another one: {changes} changes between {len(set(values))} steps"
    if len(set(splits)) > 1:
        return "in both train_split.pkl and test_split.pkl"
    return f"listed {len(splits)} times in {SPLIT_FILES[splits[0]]}" if len(splits) > 1 else None
