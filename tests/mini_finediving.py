"""FineDiving and MTL-AQA in miniature: their folders, file names and pickles, with images of a few pixels."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mcore.data.labels import LabelledDive
from mcore.data.manifest import DiveRecord

EVENT = "FINADivingWorldCup2021_Men3m_final_r1"
STEPS_407C = (("Inward", 10), ("3.5 Soms.Tuck", 12), ("Entry", 8))
STEPS_5253B = (("Back", 6), ("1.5 Twists", 7), ("2.5 Soms.Pike", 9), ("Entry", 8))

Key = tuple[str, int]


def fields(number: str, score: float, difficulty: float, steps: Sequence[tuple[str, int]]) -> list[Any]:
    """What the official pickle has for a dive: the step of each frame is a number, as in the Sub_action table."""
    labels = np.concatenate([np.full(count, _code(name), np.int64) for name, count in steps])
    starts = np.cumsum([count for _, count in steps])[:-1]
    return [number, score, difficulty, starts + 489, labels]


def step_table() -> dict[int, str]:
    """The Sub_action table: names of the numbers."""
    return {_code(name): name for name, _ in (*STEPS_407C, *STEPS_5253B)}


def _code(name: str) -> int:
    return sum(map(ord, name))


def dives() -> dict[Key, list[Any]]:
    """Twelve dives of two numbers in two events, nothing wrong with them."""
    annotations: dict[Key, list[Any]] = {}
    for index in range(6):
        annotations[EVENT, index] = fields("407C", 51.0 + 1.7 * index, 3.4, STEPS_407C)
        annotations["01", index + 1] = fields("5253B", 64.0 + 1.6 * index, 3.2, STEPS_5253B)
    return annotations


def record_of(dive: LabelledDive) -> DiveRecord:
    """The record of a dive whose labels can be read."""
    assert dive.record is not None, dive.problem
    return dive.record


def write_images(folder: Path, count: int, first: int = 489) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        Image.new("RGB", (16, 12), (number % 256, 80, 200)).save(folder / f"{number:05d}.jpg")


def write_finediving(
    root: Path,
    annotations: Mapping[Key, Any],
    test: Sequence[Key] = ((EVENT, 5), ("01", 6)),
    *,
    frames: str | None = "FINADiving_MTL_256s",
) -> Path:
    """Write the official layout: Annotations/*.pkl and, if asked, the images of every dive."""
    pickles = root / "Annotations"
    pickles.mkdir(parents=True)
    train = [key for key in annotations if key not in test]
    for name, value in (
        ("fine-grained_annotation_aqa", dict(annotations)),
        ("train_split", train),
        ("test_split", list(test)),
    ):
        (pickles / f"{name}.pkl").write_bytes(pickle.dumps(value, 4))
    if frames is not None:
        for (event, index), values in annotations.items():
            write_images(root / frames / event / str(index), len(values[4]))
    return root


def mtl_fields(start: int, end: int, **changes: Any) -> dict[str, Any]:
    """What MTL-AQA's pickle has for a 407C."""
    return {
        "primary_view": 0,
        "start_frame": start,
        "end_frame": end,
        "position": 2,
        "difficulty": 3.2,
        "armstand": 0,
        "rotation_type": 2,
        "ss_no": 7,
        "tw_no": 0,
        "final_score": 88.0,
    } | changes


def write_mtl_aqa(folder: Path, annotations: Mapping[Any, Any], test: Sequence[Any] = (), *, name: str) -> Path:
    """Write MTL-AQA's pickles."""
    folder.mkdir(parents=True, exist_ok=True)
    train = [key for key in annotations if key not in test]
    for file, value in ((name, dict(annotations)), ("train_split_0", train), ("test_split_0", list(test))):
        (folder / f"{file}.pkl").write_bytes(pickle.dumps(value, 3))
    return folder
