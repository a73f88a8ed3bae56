"""Accuracy of trained runs against the operations of a dive."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from mcore.common.errors import UserError
from mcore.common.typed_json import decode
from mcore.config import ModelConfig
from mcore.evaluation.report import METRICS, EvaluationSummary, read_summary
from mcore.evaluation.run_folders import CONFIG
from mcore.evaluation.tables import with_interval
from mcore_bench.cost import GIGA, count_model
from mcore_bench.report import finish_result
from mcore_bench.result import JsonFile, Row, Table, begin_result, make_table

_TERMS = ("data_sha256", "num_dives", "num_skipped", "num_exemplars", "exemplars", "decoding")
"""Settings that evaluations share where they can be compared."""
_NOTE = (
    "Trainings differ in length and in what they began with, whose epochs are not counted: a row is what was reached, "
    "not what its network can reach."
)


@dataclass(frozen=True)
class ParetoArguments(JsonFile):
    """Set accuracy of trained runs against operations.

        mcore-bench pareto runs/base runs/tsm runs/frames-24

    Each run is a folder of mcore.train with an evaluation in it; all must be of the same dives. A run is on the front
    where no other one is at most as dear and at least as good.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of trainings, each with an evaluation."""
    split: str = "test"
    """Split whose evaluation is read."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.runs) < 2:
            raise UserError(f"{len(self.runs)} run(s); at least two, to set against each other")


@dataclass(frozen=True)
class _Training:
    epochs: int


@dataclass(frozen=True)
class _Recipe:
    """Fields of config.json that are read."""

    model: ModelConfig
    training: _Training


def compare_runs(arguments: ParetoArguments) -> int:
    """Run ``mcore-bench pareto``."""
    table = pareto_table(arguments.runs, arguments.split)
    result = begin_result("Accuracy against operations, where a network was trained")
    finish_result(replace(result, tables=(table,)), arguments.json)
    return 0


def pareto_table(folders: tuple[Path, ...], split: str) -> Table:
    """Read runs, count their networks, and mark the front.

    Args:
        folders: of trainings, each with an evaluation of the split.
        split: ``train``, ``val`` or ``test``.

    Raises:
        UserError: a folder holds no run or no evaluation, or they are of different dives or terms.
    """
    evaluations = {folder: read_summary(folder / split / METRICS) for folder in folders}
    first = evaluations[folders[0]]
    for folder, evaluation in evaluations.items():
        if apart := [name for name in _TERMS if getattr(evaluation, name) != getattr(first, name)]:
            raise UserError(
                f"{folder} was evaluated otherwise than {folders[0]}: {', '.join(apart)} differ; evaluate both on the "
                "same list of dives with the same flags"
            )
    points = [_point(folder, evaluation) for folder, evaluation in evaluations.items()]
    points.sort(key=lambda point: (point[0], -point[1]))
    best, rows = float("-inf"), list[Row]()
    for macs, srcc, words, numbers in points:
        rows.append((*words, "yes" if srcc > best else "", *numbers, macs / GIGA))
        best = max(best, srcc)
    columns = {**dict.fromkeys(("run", "widths", "shift", "SRCC", "MAE, points", "front"), ""), "frames": "d",
               "pixels": "d", "own epochs": "d", "M parameters": ".2f", "GMAC a dive": ".3f"}  # fmt: skip
    note = f"{first.num_dives} {split} dives, list {first.data_sha256[:12]}; 95 % bootstrap intervals. {_NOTE}"
    return make_table("accuracy against operations", columns, rows, note)


def _point(folder: Path, evaluation: EvaluationSummary) -> tuple[int, float, Row, Row]:
    """Operations of a dive, SRCC, and the cells of a run before and after the mark of the front."""
    from mcore.network.model import MCoRe

    recipe = _read_recipe(folder / CONFIG)
    found = {name: row.model for name, row in evaluation.metrics.items() if row.model.value is not None}
    if undefined := [name for name in ("srcc", "mae_points") if name not in found]:
        raise UserError(f"{folder}: {undefined[0]} is undefined; evaluate more dives")
    srcc, c, cost = found["srcc"], recipe.model, count_model(MCoRe(recipe.model).eval())
    widths, figures = ", ".join(map(str, c.backbone.widths)), [with_interval(srcc), with_interval(found["mae_points"])]
    words = (folder.resolve().name, widths, c.backbone.shift, *figures)
    numbers = (c.clip.num_frames, c.clip.crop_size, recipe.training.epochs, cost.parameters / 1e6)
    return cost.deployed_macs, srcc.value or 0.0, words, numbers


def _read_recipe(path: Path) -> _Recipe:
    advice = "give the folder of a training"
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path} ({error}); {advice}") from error
    return decode(_Recipe, text, f"{path} cannot be used, {advice}")
