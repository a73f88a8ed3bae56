"""What a run's folder says of its recipe and of each dive: read back for a comparison. Torch-free.

A run is the folder of a training that holds its evaluation in a folder named after the split, or an evaluation alone.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcore.common.conformal import Calibration
from mcore.common.errors import UserError
from mcore.evaluation.files import METRICS, PREDICTION_COLUMNS, PREDICTIONS

CONFIG = "config.json"
"""Recipe of a training, beside its checkpoints, which carry the same."""
_EVALUATION_SETTINGS = (
    "checkpoint_sha256",
    "checkpoint_epoch",
    "split",
    "num_exemplars",
    "exemplars",
    "decoding",
    "seed",
)
EVALUATION = "evaluation."
"""How names of an evaluation's settings begin."""
_NOT_SETTINGS = ("data.manifest", "data.manifest_relative")
"""Where the list of dives lies differs between machines; ``data.sha256`` says which list it is."""


@dataclass(frozen=True)
class DivePrediction:
    """What a run says of one dive."""

    dive_number: str
    difficulty: float | None
    true_score: float
    predicted_score: float
    transitions: tuple[int, int]
    """Predicted, sampled frames."""
    true_transitions: tuple[int, int] | None
    """None: not labelled."""


@dataclass(frozen=True)
class Run:
    """A run as its folder tells it."""

    name: str
    """Folder's name, or its path where two runs have one name."""
    folder: Path
    settings: Mapping[str, Any]
    """Recipe and evaluation, by dotted names such as ``training.epochs``; without ``config.json``, evaluation only."""
    dives: Mapping[str, DivePrediction]
    """By name."""
    calibration: Calibration | None
    """Interval around its scores; None: it has none."""

    def tells(self, setting: str) -> bool:
        """Whether its folder says anything of a setting; of an evaluation alone, the recipe is unknown."""
        return setting.startswith(EVALUATION) or any(not name.startswith(EVALUATION) for name in self.settings)


def read_runs(folders: list[Path], split: str) -> list[Run]:
    """Read several runs.

    Raises:
        UserError: a folder holds no evaluation of the split, a damaged one, or is given twice.
    """
    resolved = [folder.resolve() for folder in folders]
    if twice := [folder for folder, path in zip(folders, resolved, strict=True) if resolved.count(path) > 1]:
        raise UserError(f"{twice[0]} is given twice; a comparison takes each run once")
    names = [path.name for path in resolved]
    return [
        _read_run(folder, name if names.count(name) == 1 else str(folder), split)
        for folder, name in zip(folders, names, strict=True)
    ]


def _read_run(folder: Path, name: str, split: str) -> Run:
    evaluation = next((place for place in (folder / split, folder) if (place / METRICS).is_file()), None)
    if evaluation is None:
        raise UserError(
            f"{folder} holds no evaluation of the {split} dives ({split}/{METRICS}); make one with: "
            f"python -m mcore.evaluate {folder / 'best.pt'} --data MANIFEST --split {split}"
        )
    summary = _read_json(evaluation / METRICS)
    if summary.get("split") != split:
        raise UserError(
            f"{evaluation} is an evaluation of the {summary.get('split')} dives, not of {split}; see --split"
        )
    config = _read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    settings = {name: value for name, value in _flat(config).items() if name not in _NOT_SETTINGS}
    settings |= {f"{EVALUATION}{name}": summary.get(name) for name in _EVALUATION_SETTINGS}
    try:
        known = summary.get("calibration")
        calibration = None if known is None else Calibration(**known)
    except (TypeError, ValueError) as error:
        raise UserError(f"{evaluation / METRICS} is damaged ({error}); evaluate the run again") from error
    return Run(name, folder, settings, _read_predictions(evaluation / PREDICTIONS), calibration)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); evaluate the run again, or leave it out") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no settings; evaluate the run again, or leave it out")
    return content


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _read_predictions(path: Path) -> dict[str, DivePrediction]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error}); evaluate the run again") from error
    if not rows or (missing := [column for column in PREDICTION_COLUMNS if column not in rows[0]]):
        lacks = f"lacks {', '.join(missing)}" if rows else "is empty"
        raise UserError(f"{path} {lacks}, as one of an earlier version; evaluate the run again")
    try:
        return {row["dive"]: _prediction(row) for row in rows}
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); evaluate the run again") from error


def _prediction(row: Mapping[str, str]) -> DivePrediction:
    labelled = row["true_flight_frame"] != ""
    score = float(row["predicted_score"])
    if not math.isfinite(score):
        raise ValueError(f"predicted_score is {score}")
    return DivePrediction(
        dive_number=row["dive_number"],
        difficulty=float(row["difficulty"]) if row["difficulty"] else None,
        true_score=float(row["true_score"]),
        predicted_score=score,
        transitions=(int(row["flight_frame"]), int(row["entry_frame"])),
        true_transitions=(int(row["true_flight_frame"]), int(row["true_entry_frame"])) if labelled else None,
    )
