"""MTL-AQA (Parmar and Morris, CVPR 2019) as its authors and CoRe's publish it.

    final_annotations_dict.pkl                    {(video, sample): {start_frame, end_frame, position, difficulty,
                                                  armstand, rotation_type, ss_no, tw_no, final_score, ...}}
    final_annotations_dict_with_dive_number.pkl   the same with dive_number (from CoRe's repository)
    train_split_0.pkl, test_split_0.pkl           [(video, sample), ...]
    <frames>/<video as two digits>/*.jpg          all frames of a video

Confirmed on the published pickles: the fields compose CoRe's dive number for all 1,412 dives (rotation 0 back, 1
forward, 2 inward, 3 reverse; position 0 free, 1 pike, 2 tuck; half somersaults, half twists), so both files read
alike. 27 of them have no half somersault (``300B`` at 1.9 is probably a 301B) and 4 more are untwisted in the free
position; they stay as published: ``mcore-data check`` names them, and ``convert`` leaves them out.

A dive is the images [start_frame, end_frame) of a video's sorted images, from 0: CoRe's loader counts so, and 973
of the 1,369 dives that FineDiving took over have exactly end_frame - start_frame images there. Transitions are not
annotated. The frame rate of the videos is not in the files; nothing here depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mcore.common.errors import UserError
from mcore.data.labels import LabelledDive, rules_spelling
from mcore.data.manifest import DiveRecord, Split
from mcore.data.safe_pickle import load_pickle
from mcore.video.reader import IMAGE_FOLDER_FPS

ANNOTATIONS = ("final_annotations_dict_with_dive_number.pkl", "final_annotations_dict.pkl")
SPLIT_FILES: dict[Split, str] = {"train": "train_split_0.pkl", "test": "test_split_0.pkl"}
DIRECTIONS = {0: 2, 1: 1, 2: 4, 3: 3}
"""Digit of the dive number, by ``rotation_type``."""
POSITIONS = {0: "D", 1: "B", 2: "C"}
"""Letter of the dive number, by ``position``."""

_FOLDERS = (".", "info", "MTL-AQA/info", "Ready_2_Use/MTL-AQA_split_0_data", "MTL-AQA_split_0_data")
_FRAMES = (".", "new", "new/new_total_frames_256s", "new/new_total_frames", "frames")


def is_mtl_aqa(folder: Path) -> bool:
    """Return whether a folder holds MTL-AQA's annotations, where its repositories keep them."""
    return _annotations(folder) is not None


def read_mtl_aqa(root: str | Path, frames: str | Path | None = None) -> list[LabelledDive]:
    """Read the data set.

    Args:
        root: the folder of the pickles, or one above it (``info``, ``Ready_2_Use/MTL-AQA_split_0_data``).
        frames: the folder of the videos' folders of images; by default searched where CoRe keeps it.

    Returns:
        Every dive in the order of the annotations, with the official splits; images need not be there.

    Raises:
        UserError: a pickle is missing, unsafe, or not of this layout.
    """
    root = Path(root)
    path = _annotations(root)
    if path is None:
        raise UserError(f"no {' or '.join(ANNOTATIONS)} in {root}; give the folder of MTL-AQA's annotations")
    annotations = load_pickle(path)
    if not isinstance(annotations, dict) or not all(isinstance(value, dict) for value in annotations.values()):
        raise UserError(
            f"{path} is not {{(video, sample): {{start_frame, end_frame, ...}}}}, which is how MTL-AQA and CoRe keep "
            "annotations; other dive number files could not be confirmed and are not read"
        )
    splits: dict[object, list[Split]] = {}
    for split, name in SPLIT_FILES.items():
        for key in _keys(path.parent / name):
            splits.setdefault(key, []).append(split)
    frames_root = Path(frames) if frames is not None else _find_frames(root)
    keys = [*annotations, *(key for key in splits if key not in annotations)]
    return [_dive(key, annotations.get(key), splits.get(key, []), frames_root) for key in keys]


def compose_dive_number(fields: Mapping[str, Any]) -> str:
    """Put a dive number together, as CoRe's file has it.

    Args:
        fields: rotation_type, position, armstand, ss_no (half somersaults), tw_no (half twists).

    Returns:
        Text that need not be a dive number of the rules.

    Raises:
        KeyError: a field is missing, or has an unknown code.
        ValueError: a field is not a number.
    """
    direction, position = DIRECTIONS[int(fields["rotation_type"])], POSITIONS[int(fields["position"])]
    somersaults, twists = int(fields["ss_no"]), int(fields["tw_no"])
    digits = f"{direction}{somersaults}{twists or ''}"
    if int(fields["armstand"]):
        return f"6{digits}{position}"
    return f"5{digits}{position}" if twists else f"{direction}0{somersaults}{position}"


def _annotations(root: Path) -> Path | None:
    candidates = (root / folder / name for folder in _FOLDERS for name in ANNOTATIONS)
    return next((path for path in candidates if path.is_file()), None)


def _find_frames(root: Path) -> Path:
    for base in (root, root.parent):
        for folder in _FRAMES:
            if (base / folder / "01").is_dir():
                return base / folder
    return root


def _keys(path: Path) -> list[tuple[int, int]]:
    value = load_pickle(path)
    pairs = isinstance(value, list | tuple) and all(isinstance(key, tuple) and len(key) == 2 for key in value)
    if not pairs:
        raise UserError(f"{path} is not a list of (video, sample), which MTL-AQA's split files are")
    return list(value)  # type: ignore[call-overload, no-any-return]


def _dive(key: Any, fields: Mapping[str, Any] | None, splits: Sequence[Split], frames_root: Path) -> LabelledDive:
    name = f"{key[0]:02d}/{key[1]}" if isinstance(key, tuple) and len(key) == 2 else str(key)
    if fields is None:
        return LabelledDive(name, None, problem=f"in {SPLIT_FILES[splits[0]]}, but without annotations")
    try:
        start_frame, end_frame = int(fields["start_frame"]), int(fields["end_frame"])
        if not 0 <= start_frame < end_frame:
            raise ValueError(f"frames {start_frame} to {end_frame}")
        number = fields["dive_number"] if "dive_number" in fields else compose_dive_number(fields)
        record = DiveRecord(
            path=frames_root / f"{key[0]:02d}",
            dive_number=rules_spelling(number),
            score=float(fields["final_score"]),
            difficulty=float(fields["difficulty"]),
            split=splits[0] if splits else None,
            num_frames=end_frame - start_frame,
            # Seconds as the image reader counts them, so that exactly these frames are the clip.
            start_s=start_frame / IMAGE_FOLDER_FPS,
            end_s=end_frame / IMAGE_FOLDER_FPS,
            origin="real",
            event=f"{key[0]:02d}",  # a video is one event; FineDiving names those that it took over alike
        )
    except KeyError as error:
        return LabelledDive(name, None, problem=f"no field or no code {error.args[0]!r}")
    except (TypeError, ValueError, IndexError) as error:
        return LabelledDive(name, None, problem=f"labels are not those of a dive: {error}")
    both = len(set(splits)) > 1
    return LabelledDive(name, record, problem="in both split files" if both else None)
