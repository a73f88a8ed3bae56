"""Recipe and predictions of a run, read back from its folder for a comparison. Torch-free.

A run is the folder of a training that holds its evaluation in a folder named after the split, or an evaluation alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcore.common.conformal import ConformalInterval
from mcore.common.errors import UserError
from mcore.common.typed_json import decode
from mcore.evaluation.predictions import DivePrediction, read_predictions
from mcore.evaluation.report import METRICS, PREDICTIONS, read_summary

CONFIG = "config.json"
"""Recipe of a training, beside its checkpoints, which carry the same."""
EVALUATION = "evaluation."
"""Prefix of the names of an evaluation's settings."""
_EVALUATION_SETTINGS = (
    "checkpoint_sha256",
    "checkpoint_epoch",
    "split",
    "num_exemplars",
    "exemplars",
    "decoding",
    "seed",
)
_NOT_SETTINGS = ("data.manifest", "data.manifest_relative", "data.train_sha256")
"""The list's path differs between machines; ``data.sha256`` says which list it is, and all that is in it."""


@dataclass(frozen=True)
class Run:
    """Recipe and predictions of a run, as read from its folder."""

    name: str
    """Folder's name, or its path where two runs have one name."""
    folder: Path
    settings: Mapping[str, Any]
    """Recipe and evaluation, by dotted names such as ``training.epochs``; without ``config.json``, evaluation only."""
    dives: Mapping[str, DivePrediction]
    """Predictions by the dive's name."""
    conformal_interval: ConformalInterval | None
    """Interval around its scores; None: it has none."""

    def records_setting(self, setting: str) -> bool:
        """Return whether the folder records a setting; an evaluation alone records no recipe."""
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
    summary = read_summary(evaluation / METRICS)
    if summary.split != split:
        raise UserError(f"{evaluation} is an evaluation of the {summary.split} dives, not of {split}; see --split")
    config = _flat(_read_config(folder / CONFIG)) if (folder / CONFIG).is_file() else {}
    settings = {name: value for name, value in config.items() if name not in _NOT_SETTINGS}
    settings |= {f"{EVALUATION}{name}": getattr(summary, name) for name in _EVALUATION_SETTINGS}
    return Run(name, folder, settings, read_predictions(evaluation / PREDICTIONS), summary.conformal_interval)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        return decode(dict[str, Any], path.read_bytes(), f"{path} cannot be read; restore it, or leave the run out")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); restore it, or leave the run out") from error


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
