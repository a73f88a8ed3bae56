"""Pictures of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcore._optional import require


def scatter_plot(
    path: Path,
    predicted: NDArray[np.float64],
    true: NDArray[np.float64],
    spread: NDArray[np.float64],
    dive_numbers: Sequence[str],
    title: str,
) -> None:
    """Draw predicted against true scores, coloured by dive number.

    Args:
        path: PNG file to write.
        predicted: (N,) points.
        true: (N,) points.
        spread: (N,) points, drawn as error bars.
        dive_numbers: N of them.
        title: above the picture.
    """
    figure_module = require("matplotlib.figure", "train", "The scatter plot")
    # A Figure of its own draws with Agg and leaves pyplot's global state and display alone.
    figure = figure_module.Figure(figsize=(6.4, 6.0), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    low = float(min(predicted.min(), true.min())) - 3
    high = float(max(predicted.max(), true.max())) + 3
    axes.plot([low, high], [low, high], color="0.75", linewidth=1, zorder=0)
    names = sorted(set(dive_numbers))
    many = len(names) > 10
    for number, name in enumerate(["all"] if many else names):
        rows = [i for i, each in enumerate(dive_numbers) if many or each == name]
        style = {"color": f"C{number}", "fmt": "o", "markersize": 4.5, "elinewidth": 0.6, "alpha": 0.8}
        axes.errorbar(true[rows], predicted[rows], yerr=spread[rows], label=name, **style)
    axes.set(xlim=(low, high), ylim=(low, high), xlabel="true score, points", ylabel="predicted score, points")
    axes.set_aspect("equal")
    axes.set_title(title, fontsize=10)
    axes.grid(color="0.93")
    if not many:
        axes.legend(title="dive number", fontsize=8, title_fontsize=8, loc="upper left")
    figure.savefig(path)
