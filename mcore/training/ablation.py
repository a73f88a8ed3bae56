"""Variants of the method that an ablation compares, and the table of their figures. Torch-free.

A variant is a training and a way to evaluate it; variants that differ only in evaluation share their training.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mcore.config import EXEMPLARS_PER_NUMBER, Decoding
from mcore.evaluation.config import ExemplarChoice
from mcore.evaluation.tables import markdown_table

BASE = "base"
"""The published method: the variant that the others are compared with."""
COLUMNS = {
    "srcc": ("SRCC", 3),
    "relative_l2_x100": ("R-l2 x100", 3),
    "mae_points": ("MAE, points", 2),
    "aiou_50": ("AIoU@0.5", 3),
    "aiou_75": ("AIoU@0.75", 3),
}
"""Metrics of the table: title and digits after the point."""


@dataclass(frozen=True)
class Variant:
    """One row of the table."""

    title: str
    """Difference from the published method, in words."""
    training: str = BASE
    """Variant whose training is evaluated."""
    train_flags: tuple[str, ...] = ()
    """Flags of ``mcore.train``, where the training is the variant's own."""
    num_exemplars: int | Literal["all"] = EXEMPLARS_PER_NUMBER
    """Exemplars of each dive."""
    exemplars: ExemplarChoice = "random"
    """Way of choosing exemplars."""
    decoding: Decoding = "published"
    """Way of finding transitions."""


VARIANTS: dict[str, Variant] = {
    BASE: Variant("published method: 10 random exemplars, published decoding"),
    "no-contrastive": Variant("without the contrastive loss", "no-contrastive", ("--loss-weights.contrastive", "0")),
    "no-stage-targets": Variant("without stage targets", "no-stage-targets", ("--loss-weights.stage-targets", "0")),
    "no-fault-targets": Variant("without fault targets", "no-fault-targets", ("--loss-weights.fault-targets", "0")),
    "thirds": Variant(
        "without segmentation: equal thirds, and so no stage targets",
        "thirds",
        ("--stages", "thirds", "--loss-weights.transition", "0", "--loss-weights.stage-targets", "0"),
        decoding="thirds",
    ),
    "tsm": Variant("plain shift (TSM) instead of gated", "tsm", ("--model.backbone.shift", "tsm")),
    "no-shift": Variant("no shift: frames meet in the segmenter only", "no-shift", ("--model.backbone.shift", "none")),
    "exemplars-1": Variant("1 exemplar", num_exemplars=1),
    "exemplars-5": Variant("5 exemplars", num_exemplars=5),
    "exemplars-all": Variant("all exemplars of the dive number", num_exemplars="all"),
    "nearest": Variant("the 10 nearest exemplars", exemplars="nearest"),
    "nearest-1": Variant("the nearest exemplar", num_exemplars=1, exemplars="nearest"),
    "ordered": Variant("ordered decoding", decoding="ordered"),
}
"""Variants by the name that ``--variants`` takes."""


@dataclass(frozen=True)
class SeedFigure:
    """A figure over seeds."""

    mean: float | None
    """Mean; None where the figure is undefined for a seed."""
    seed_std: float | None
    """Sample standard deviation; None for fewer than two seeds."""
    values: tuple[float | None, ...]
    """Value of each seed."""


@dataclass(frozen=True)
class Row:
    """A variant's figures."""

    variant: str
    """Name of the variant."""
    title: str
    """Difference from the published method, in words."""
    figures: dict[str, SeedFigure]
    """Figures by metric."""
    srcc_gain: SeedFigure | None
    """SRCC less that of the base of the same seed; None for the base, and where it was not run."""


def over_seeds(values: Sequence[float | None]) -> SeedFigure:
    """Summarise a figure over seeds."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return SeedFigure(None, None, tuple(values))
    seed_std = statistics.stdev(known) if len(known) > 1 else None
    return SeedFigure(statistics.fmean(known), seed_std, tuple(values))


def table_rows(results: Mapping[str, Sequence[Mapping[str, float | None]]]) -> list[Row]:
    """Make the table's rows.

    Args:
        results: for each variant, the metrics of each seed, in the same order of seeds.
    """
    rows = []
    for name, by_seed in results.items():
        figures = {metric: over_seeds([each.get(metric) for each in by_seed]) for metric in COLUMNS}
        gain = None
        if name != BASE and BASE in results:
            pairs = zip(figures["srcc"].values, (each.get("srcc") for each in results[BASE]), strict=True)
            gain = over_seeds([None if a is None or b is None else a - b for a, b in pairs])
        rows.append(Row(name, VARIANTS[name].title, figures, gain))
    return rows


def markdown(rows: Sequence[Row], heading: str, notes: Sequence[str]) -> str:
    """Write the table: mean and, behind ±, the standard deviation over seeds."""
    titles = ["variant", *(title for title, _ in COLUMNS.values()), "SRCC - base"]
    lines = []
    for row in rows:
        cells = [_cell(row.figures[name], digits) for name, (_, digits) in COLUMNS.items()]
        gain = "" if row.srcc_gain is None else _cell(row.srcc_gain, 3, sign="+")
        lines.append([f"{row.title} (`{row.variant}`)", *cells, gain])
    return "\n".join([f"# {heading}", "", *notes, "", *markdown_table(titles, lines)]) + "\n"


def _cell(figure: SeedFigure, digits: int, sign: str = "") -> str:
    if figure.mean is None:
        return "undefined"
    text = f"{figure.mean:{sign}.{digits}f}"
    return text if figure.seed_std is None else f"{text} ± {figure.seed_std:.{digits}f}"
