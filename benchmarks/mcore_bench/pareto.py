"""What more work buys: accuracy of trained runs against the operations of a dive.

python -m mcore_bench.pareto runs/base runs/tsm runs/frames-24 --out pareto

Each run is a folder of mcore.train with an evaluation in it; all must be of the same dives. Writes pareto.json,
pareto.md and pareto.png. A run is on the front where no other one is at most as dear and at least as good.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from mcore.common.cli_help import description
from mcore.common.errors import UserError, run_command
from mcore.common.files import write_text
from mcore.common.optional import require
from mcore.config import ModelConfig, from_dict
from mcore.data.clip_files import check_folder
from mcore.evaluation.report import METRICS
from mcore.evaluation.run_folders import CONFIG
from mcore_bench.account import GIGA, VariantCost

_WIDTH = 150
"""Columns of the table, also where the output is a file."""
REACHED_NOTE = (
    "Rendered twins of FineDiving's dives. Trainings differ in length and in what they began with, whose epochs are "
    "not counted, so a row is what was reached, not what its network can reach."
)
"""What a reader of runs has to know."""
_TERMS = ("data_sha256", "num_dives", "num_skipped", "num_exemplars", "exemplars", "decoding")
"""What evaluations have to share to be compared; the operations of a dive are those of ten exemplars."""


@dataclass(frozen=True)
class Interval:
    """A metric of the test dives with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Point:
    """A trained run."""

    run: str
    """Name of its folder."""
    widths: tuple[int, ...]
    """Of the backbone's stages."""
    shift: str
    frames: int
    pixels: int
    epochs: int
    """Of its own command, without those of the run that it began with."""
    parameters: int
    pass_macs: int
    """One clip through the backbone."""
    dive_macs: int
    """A dive as deployed: one pass, and ten comparisons."""
    srcc: Interval
    mae_points: Interval
    front: bool = False
    """No other run is at most as dear and at least as good in SRCC."""


@dataclass(frozen=True)
class Pareto:
    """Runs that were evaluated on the same dives."""

    split: str
    num_dives: int
    data_sha256: str
    points: tuple[Point, ...]
    """The cheapest first."""


@dataclass(frozen=True)
class Options:
    """Set accuracy against operations."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of trainings, each with an evaluation."""
    out: Path = Path("pareto")
    """Folder of pareto.json, pareto.md and pareto.png."""
    split: str = "test"
    """Split whose evaluation is read."""

    def __post_init__(self) -> None:
        if len(self.runs) < 2:
            raise UserError(f"{len(self.runs)} run(s); at least two, to set against each other")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(
        lambda: _run(
            tyro.cli(Options, prog="python -m mcore_bench.pareto", args=argv, description=description(__doc__))
        )
    )


def _run(options: Options) -> int:
    check_folder(options.out, "--out", "choose another place")
    found = read_points(options.runs, options.split)
    options.out.mkdir(parents=True, exist_ok=True)
    write_text(options.out / "pareto.json", json.dumps(asdict(found), indent=2, allow_nan=False) + "\n")
    write_text(options.out / "pareto.md", "\n".join(markdown(found)) + "\n")
    draw(found, options.out / "pareto.png")
    Console(width=max(Console().width, _WIDTH), soft_wrap=True).print(table(found))
    return 0


def read_points(folders: Sequence[Path], split: str) -> Pareto:
    """Read runs, count their networks, and find the front.

    Args:
        folders: of trainings, each with an evaluation of the split.
        split: ``train``, ``val`` or ``test``.

    Raises:
        UserError: a folder holds no run or no evaluation, or they are of different dives or terms.
    """
    points: list[Point] = []
    terms: list[dict[str, Any]] = []
    for folder in folders:
        metrics = _read(folder / split / METRICS, f"evaluate it: python -m mcore.evaluate {folder / 'best.pt'} ...")
        points.append(_point(folder, metrics))
        terms.append({name: metrics.get(name) for name in _TERMS})
    for folder, mine in zip(folders, terms, strict=True):
        if apart := [name for name in _TERMS if mine[name] != terms[0][name]]:
            raise UserError(
                f"{folder} was evaluated otherwise than {folders[0]}: "
                f"{', '.join(f'{name} {mine[name]} and {terms[0][name]}' for name in apart)}; "
                "evaluate both on the same list of dives with the same flags"
            )
    points.sort(key=lambda point: (point.dive_macs, -point.srcc.value))
    best, marked = float("-inf"), []
    for point in points:
        marked.append(Point(**{**vars(point), "front": point.srcc.value > best}))
        best = max(best, point.srcc.value)
    return Pareto(split, int(terms[0]["num_dives"]), str(terms[0]["data_sha256"]), tuple(marked))


def read_pareto(path: Path) -> Pareto:
    """Read the pareto.json of a former run.

    Raises:
        UserError: it cannot be read, or is not one.
    """
    values = _read(path, "write it: python -m mcore_bench.pareto RUNS --out FOLDER")
    try:
        points = tuple(from_dict(Point, point) for point in values["points"])
        return Pareto(**{**values, "points": points})
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is not a pareto.json of this version ({error!r}); write it again") from error


def run_of(variant: VariantCost, found: Pareto) -> Point | None:
    """Return the best run of this very configuration, if one was trained."""
    same = [
        point
        for point in found.points
        if (point.shift, point.frames, point.pixels) == (variant.shift, variant.frames, variant.pixels)
        and (point.parameters, point.dive_macs) == (variant.parameters, variant.dive_macs)
    ]
    return max(same, key=lambda point: point.srcc.value, default=None)


def markdown(found: Pareto) -> list[str]:
    """Return the lines of a table."""
    lines = [f"{found.num_dives} {found.split} dives, list {found.data_sha256[:12]}; [95 % bootstrap intervals].", ""]
    lines += [f"| {' | '.join(_HEADINGS)} |", f"| {'--- | ' * _TEXTS}{'---: | ' * (len(_HEADINGS) - _TEXTS)}".rstrip()]
    return [*lines, *(f"| {' | '.join(_cells(point))} |" for point in found.points)]


def draw(found: Pareto, path: Path) -> None:
    """Draw SRCC against operations as a PNG."""
    figure(found).savefig(path)


def figure(found: Pareto) -> Any:
    """Draw SRCC against operations; returns matplotlib's figure."""
    figure_module = require("matplotlib.figure", "bench", "Drawing the front")
    drawn = figure_module.Figure(figsize=(7.2, 4.2), layout="constrained", dpi=120)
    axes = drawn.add_subplot()
    for point in found.points:
        srcc = point.srcc
        error = [[srcc.value - srcc.low], [srcc.high - srcc.value]]
        colour = "#1769c4" if point.front else "0.6"
        axes.errorbar(point.dive_macs / GIGA, srcc.value, yerr=error, fmt="o", color=colour, capsize=3)
        axes.annotate(point.run, (point.dive_macs / GIGA, srcc.value), fontsize=7, xytext=(5, 4),
                      textcoords="offset points")  # fmt: skip
    front = [point for point in found.points if point.front]
    axes.plot([p.dive_macs / GIGA for p in front], [p.srcc.value for p in front], color="#1769c4", linewidth=1)
    axes.set(xlabel="GMAC of a dive as deployed", ylabel=f"SRCC, {found.num_dives} {found.split} dives")
    axes.margins(x=0.12)  # room for the last name
    return drawn


_HEADINGS = ("run", "widths", "shift", "frames", "pixels", "own epochs", "M parameters", "GMAC a dive", "SRCC",
             "MAE, points", "front")  # fmt: skip
_TEXTS = 3
"""Headings of columns that hold words come first."""


def _cells(point: Point) -> tuple[str, ...]:
    srcc, mae = point.srcc, point.mae_points
    return (
        point.run,
        ", ".join(map(str, point.widths)),
        point.shift,
        str(point.frames),
        str(point.pixels),
        str(point.epochs),
        f"{point.parameters / 1e6:.2f}",
        f"{point.dive_macs / GIGA:.3f}",
        f"{srcc.value:.3f} [{srcc.low:.3f}, {srcc.high:.3f}]",
        f"{mae.value:.2f} [{mae.low:.2f}, {mae.high:.2f}]",
        "yes" if point.front else "",
    )


def table(found: Pareto) -> Table:
    """Return the runs as a table."""
    rows = Table(title=f"{found.num_dives} {found.split} dives, list {found.data_sha256[:12]}", title_justify="left")
    for number, heading in enumerate(_HEADINGS):
        rows.add_column(heading, justify="left" if number < _TEXTS else "right")
    for point in found.points:
        rows.add_row(*(cell.replace("[", r"\[") for cell in _cells(point)))
    return rows


def _point(folder: Path, metrics: dict[str, Any]) -> Point:
    from mcore.network.model import MCoRe
    from mcore_bench.flops import count_model

    recipe = _read(folder / CONFIG, "give the folder of a training")
    try:
        config = from_dict(ModelConfig, recipe["model"])
        srcc, mae = (Interval(**metrics["metrics"][name]["model"]) for name in ("srcc", "mae_points"))
        epochs = int(recipe["training"]["epochs"])
        if None in (*vars(srcc).values(), *vars(mae).values(), *(metrics[name] for name in _TERMS)):
            raise ValueError("a metric is undefined: too few dives")
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder} is damaged ({error!r}); evaluate the run again, or leave it out") from error
    account = count_model(MCoRe(config).eval())
    return Point(
        run=folder.resolve().name,
        widths=tuple(config.backbone.widths),
        shift=config.backbone.shift,
        frames=config.clip.num_frames,
        pixels=config.clip.crop_size,
        epochs=epochs,
        parameters=account.parameters,
        pass_macs=account.backbone.macs,
        dive_macs=account.deployed_macs,
        srcc=srcc,
        mae_points=mae,
    )


def _read(path: Path, otherwise: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path} ({error}); {otherwise}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no run; {otherwise}")
    return content


if __name__ == "__main__":
    sys.exit(main())
