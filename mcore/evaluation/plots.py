"""Pictures of a training and of an evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mcore.common.optional import require
from mcore.evaluation.assessment import Figure

_COLOURS, _OTHERS = 10, "others"


def scatter_plot(
    path: Path,
    predicted: NDArray[np.float64],
    true: NDArray[np.float64],
    exemplar_std: NDArray[np.float64],
    dive_numbers: Sequence[str],
    title: str,
) -> None:
    """Draw predicted against true scores, coloured by dive number; the rarest share the last of ten colours.

    Args:
        path: PNG file to write.
        predicted: (N,) points.
        true: (N,) points.
        exemplar_std: (N,) points, drawn as error bars.
        dive_numbers: N of them.
        title: above the picture.
    """
    figure = _figure(6.4, 6.0)
    axes = figure.add_subplot()
    low = float(min(predicted.min(), true.min())) - 3
    high = float(max(predicted.max(), true.max())) + 3
    axes.plot([low, high], [low, high], color="0.75", linewidth=1, zorder=0)
    frequent = [name for name, _ in Counter(sorted(dive_numbers)).most_common()]
    named = sorted(frequent[:_COLOURS] if len(frequent) <= _COLOURS else frequent[: _COLOURS - 1])
    for number, name in enumerate([*named, _OTHERS] if len(named) < len(frequent) else named):
        rows = [i for i, each in enumerate(dive_numbers) if each == name or (name == _OTHERS and each not in named)]
        style = {"color": f"C{number}", "fmt": "o", "markersize": 4.5, "elinewidth": 0.6, "alpha": 0.8}
        axes.errorbar(true[rows], predicted[rows], yerr=exemplar_std[rows], label=name, **style)
    axes.set(xlim=(low, high), ylim=(low, high), xlabel="true score, points", ylabel="predicted score, points")
    axes.set_aspect("equal")
    axes.set_title(title, fontsize=10)
    axes.grid(color="0.93")
    axes.legend(title="dive number", fontsize=8, title_fontsize=8, loc="upper left")
    figure.savefig(path)


def loss_curves(path: Path, history: Sequence[Mapping[str, float | int | None]], title: str) -> None:
    """Draw each loss and the validation's SRCC and AIoU over the epochs.

    Args:
        path: PNG file to write.
        history: rows of metrics.csv, whose columns say which losses there are; None where an epoch was not validated.
        title: above the picture.
    """
    figure = _figure(7.2, 4.0)
    losses, validation = figure.subplots(1, 2)
    for column in dict.fromkeys(name for row in history for name in row if name.startswith("loss_")):
        _curve(losses, history, column, column.removeprefix("loss_"))
    losses.set_yscale("log")
    losses.set(title=f"{title}: losses", xlabel="epoch")
    losses.legend(fontsize=8)
    _curve(validation, history, "val_srcc", "SRCC")
    _curve(validation, history, "val_aiou_75", "AIoU@0.75")
    validation.set(title="validation", xlabel="epoch")
    validation.legend(fontsize=8, loc="lower right")
    for axes in (losses, validation):
        axes.grid(color="0.93")
    figure.savefig(path)


def boundary_histogram(path: Path, predicted: NDArray[np.int64], true: NDArray[np.int64], title: str) -> None:
    """Draw how far each predicted transition is from the labelled one.

    Args:
        path: PNG file to write.
        predicted: (N, 2) sampled frames.
        true: (N, 2) sampled frames.
        title: above the picture.
    """
    errors = predicted - true
    reach = max(3, int(np.abs(errors).max()))
    bins = np.arange(-reach, reach + 2) - 0.5
    figure = _figure(6.4, 3.6)
    axes = figure.add_subplot()
    axes.hist([errors[:, 0], errors[:, 1]], bins=bins, label=["take-off to flight", "flight to entry"])
    axes.axvline(0, color="0.6", linewidth=1)
    axes.set(xlabel="predicted less labelled, sampled frames", ylabel="dives")
    axes.set_title(title, fontsize=10)
    axes.legend(fontsize=8)
    figure.savefig(path)


def comparison_plot(path: Path, names: Sequence[str], panels: Sequence[tuple[str, Sequence[Figure]]]) -> None:
    """Draw each metric of several runs with its interval, a panel for each metric.

    Args:
        path: PNG file to write.
        names: of the runs.
        panels: title of a metric, and its figure for each run; none of them undefined.
    """
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    figure = _figure(1.0 + 3.2 * columns, lines * (0.9 + 0.28 * len(names)))
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
    places = list(range(len(names)))
    for axes, (title, figures) in zip(grid, panels, strict=False):
        for place, each in zip(places, figures, strict=True):
            if each.low is not None and each.high is not None:
                axes.plot([each.low, each.high], [place, place], color=f"C{place}", linewidth=1.5)
            axes.plot(each.value, place, marker="o", color=f"C{place}")
        axes.set_title(title, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(color="0.93")
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    grid[0].set_yticks(places, names)
    grid[0].set_ylim(len(names) - 0.5, -0.5)
    figure.savefig(path)


def roc_curves(
    path: Path, good: tuple[ArrayLike, int], others: Mapping[str, tuple[ArrayLike, int]], title: str
) -> None:
    """Draw which share of each kind of clip is refused against the share of good dives that is, for every limit.

    A dot is what is really refused.

    Args:
        path: PNG file to write.
        good: strangeness of good dives (N,), and how many of them are refused.
        others: the same of other clips, by their kind.
        title: above the picture.
    """
    figure = _figure(7.6, 4.2)
    axes = figure.add_subplot()
    axes.plot([0, 100], [0, 100], color="0.75", linewidth=1, zorder=0)
    usual = np.asarray(good[0])
    for number, (name, (values, refused)) in enumerate(others.items()):
        strange = np.asarray(values)
        limits = np.unique(np.concatenate([usual, strange]))[::-1]  # of equally strange ones all are refused or none
        shares = [100 * np.mean(each >= limits[:, None], axis=1) for each in (usual, strange)]
        colour, line = f"C{number % _COLOURS}", "-" if number < _COLOURS else "--"
        axes.plot(*([0, *share] for share in shares), color=colour, linestyle=line, label=name, clip_on=False)
        dot = 100 * good[1] / len(usual), 100 * refused / len(strange)
        axes.plot(*dot, marker="o", markersize=4.5, color=colour, clip_on=False)
    axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="good dives refused, of 100", ylabel="clips refused, of 100")
    axes.set_title(title, fontsize=10)
    axes.grid(color="0.93")
    axes.legend(
        title="area under the curve; dot: refused",
        fontsize=8,
        title_fontsize=8,
        loc="center left",
        bbox_to_anchor=(1, 0.5),
    )
    figure.savefig(path)


def _figure(width_inches: float, height_inches: float) -> Any:
    """A Figure of its own draws with Agg and leaves pyplot's global state and display alone."""
    figure_module = require("matplotlib.figure", "train", "A picture")
    return figure_module.Figure(figsize=(width_inches, height_inches), dpi=130, layout="constrained")


def _curve(axes: Any, history: Sequence[Mapping[str, float | int | None]], column: str, label: str) -> None:
    points = [(row["epoch"], row[column]) for row in history if row.get(column) is not None]
    if points:
        epochs, values = zip(*points, strict=True)
        axes.plot(epochs, values, marker=".", label=label)
