"""Accuracy of trained runs against the operations of a dive."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from mcore.common.errors import UserError
from mcore.common.typed_json import decode
from mcore.config import ModelConfig
from mcore.evaluation.assessment import Figure
from mcore.evaluation.report import METRICS, EvaluationSummary, read_summary
from mcore.evaluation.run_folders import CONFIG
from mcore.evaluation.tables import with_interval
from mcore_bench.cost import GIGA, count_model
from mcore_bench.output import JsonFile, begin_result, finish_result
from mcore_bench.result import Column, Table, Value

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


@dataclass(frozen=True)
class _Point:
    """A trained run."""

    name: str
    config: ModelConfig
    epochs: int
    parameters: int
    dive_macs: int
    srcc: Figure
    mae_points: Figure


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
    points.sort(key=lambda point: (point.dive_macs, -(point.srcc.value or 0.0)))
    best, rows = float("-inf"), list[tuple[Value, ...]]()
    for p in points:
        reached = p.srcc.value or 0.0
        clip, front = p.config.clip, "yes" if reached > best else ""
        best = max(best, reached)
        widths = ", ".join(map(str, p.config.backbone.widths))
        rows.append((p.name, widths, p.config.backbone.shift, with_interval(p.srcc), with_interval(p.mae_points), front,
                     clip.num_frames, clip.crop_size, p.epochs, p.parameters / 1e6, p.dive_macs / GIGA))  # fmt: skip
    words = ("run", "widths", "shift", "SRCC", "MAE, points", "front")
    numbers = (Column("frames", "d"), Column("pixels", "d"), Column("own epochs", "d"), Column("M parameters", ".2f"),
               Column("GMAC a dive", ".3f"))  # fmt: skip
    return Table(
        "accuracy against operations",
        (*map(Column, words), *numbers),
        tuple(rows),
        f"{first.num_dives} {split} dives, list {first.data_sha256[:12]}; 95 % bootstrap intervals. {_NOTE}",
    )


def _point(folder: Path, evaluation: EvaluationSummary) -> _Point:
    from mcore.network.model import MCoRe

    recipe = _read_recipe(folder / CONFIG)
    found = evaluation.metrics
    undefined = [name for name in ("srcc", "mae_points") if name not in found or found[name].model.value is None]
    if undefined:
        raise UserError(f"{folder}: {undefined[0]} is undefined; evaluate more dives")
    srcc, mae = (found[name].model for name in ("srcc", "mae_points"))
    cost = count_model(MCoRe(recipe.model).eval())
    return _Point(
        folder.resolve().name, recipe.model, recipe.training.epochs, cost.parameters, cost.deployed_macs, srcc, mae
    )


def _read_recipe(path: Path) -> _Recipe:
    advice = "give the folder of a training"
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path} ({error}); {advice}") from error
    return decode(_Recipe, text, f"{path} cannot be used, {advice}")
