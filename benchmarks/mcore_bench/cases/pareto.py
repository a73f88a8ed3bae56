"""What more work buys: accuracy of trained runs against the operations of a dive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, TypeVar

import tyro

from mcore.common.errors import UserError
from mcore.common.typed_json import decode
from mcore.config import ModelConfig
from mcore.evaluation.files import METRICS
from mcore.evaluation.run_folders import CONFIG
from mcore_bench.cost import GIGA, count_model
from mcore_bench.output import JsonFile, begin_result, finish_result
from mcore_bench.result import Column, Table, Value

Record = TypeVar("Record")


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
class _Interval:
    """A metric of the dives with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def format(self, digits: int) -> str:
        return f"{self.value:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


@dataclass(frozen=True)
class _Metric:
    model: _Interval


@dataclass(frozen=True)
class _Evaluation:
    """What of metrics.json is needed; beside the metrics, what evaluations have to share to be compared."""

    metrics: Mapping[str, object]
    data_sha256: str
    num_dives: int
    num_skipped: int
    num_exemplars: int
    exemplars: str
    decoding: str

    @property
    def terms(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "metrics"}


@dataclass(frozen=True)
class _Training:
    epochs: int


@dataclass(frozen=True)
class _Recipe:
    """What of config.json is needed."""

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
    srcc: _Interval
    mae_points: _Interval


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
    evaluations = {
        folder: _read(_Evaluation, folder / split / METRICS, f"python -m mcore.evaluate {folder / 'best.pt'} ...")
        for folder in folders
    }
    first = evaluations[folders[0]]
    for folder, evaluation in evaluations.items():
        if apart := [name for name, value in evaluation.terms.items() if value != first.terms[name]]:
            raise UserError(
                f"{folder} was evaluated otherwise than {folders[0]}: {', '.join(apart)} differ; evaluate both on the "
                "same list of dives with the same flags"
            )
    points = [_point(folder, evaluation) for folder, evaluation in evaluations.items()]
    points.sort(key=lambda point: (point.dive_macs, -point.srcc.value))
    best, rows = float("-inf"), list[tuple[Value, ...]]()
    for p in points:
        clip, front = p.config.clip, "yes" if p.srcc.value > best else ""
        best = max(best, p.srcc.value)
        widths = ", ".join(map(str, p.config.backbone.widths))
        rows.append((p.name, widths, p.config.backbone.shift, p.srcc.format(3), p.mae_points.format(2), front,
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


def _point(folder: Path, evaluation: _Evaluation) -> _Point:
    from mcore.common.typed_json import convert
    from mcore.network.model import MCoRe

    recipe = _read(_Recipe, folder / CONFIG, "give the folder of a training")
    srcc, mae = (
        convert(_Metric, evaluation.metrics.get(name), f"{folder}: {name} is undefined, evaluate more dives").model
        for name in ("srcc", "mae_points")
    )
    cost = count_model(MCoRe(recipe.model).eval())
    return _Point(
        folder.resolve().name, recipe.model, recipe.training.epochs, cost.parameters, cost.deployed_macs, srcc, mae
    )


def _read(kind: type[Record], path: Path, advice: str) -> Record:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path} ({error}); {advice}") from error
    return decode(kind, text, f"{path} cannot be used, {advice}")
