"""How good a bundle is, as deployed: its graphs and exemplars on labelled dives, in every precision that it holds.

python -m mcore_export.accuracy bundle --data dives.jsonl --split test

Scores each dive against the exemplars of its number, and once more as if the bundle had none of it. Says how well
scores agree with the judges, what share of them the intervals hold, and how far other precisions are from fp32. Needs
no torch.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from mcore import metrics
from mcore.assessment import Figure, bootstrap_figure
from mcore.calibration import Calibration
from mcore.cli_help import description
from mcore.clip_files import check_folder
from mcore.data.manifest import Split, dive_names, read_manifest, select_split
from mcore.errors import UserError, run_command
from mcore.evaluation_files import with_interval
from mcore.files import write_text
from mcore_export.both_ways import Scores, score_both_ways
from mcore_runtime.backends import BackendName, open_backend
from mcore_runtime.bundle import Bundle
from mcore_runtime.records import Precision

LEAST_DIVES = 2


@dataclass(frozen=True)
class Row:
    """One precision, with exemplars of the dive's number or without."""

    precision: Precision
    same_number: bool
    dives: int
    srcc: Figure
    relative_l2_x100: Figure
    mae_points: Figure
    half_width_points: float | None
    """Of the bundle's interval; None: it has none."""
    coverage: Figure | None
    """Share of the judges' scores in it."""
    from_fp32_mean_points: float
    """Mean distance of its scores from those of fp32."""
    from_fp32_largest_points: float


@dataclass(frozen=True)
class BundleAccuracy:
    """A measured bundle."""

    bundle_sha256: str
    checkpoint: str
    backend: str
    provider: str
    data: str
    split: str
    level: float | None
    """Share that the intervals are to hold; None: the bundle has none."""
    rows: tuple[Row, ...]
    created: str


@dataclass(frozen=True)
class Options:
    """Measure a bundle's accuracy on labelled dives."""

    bundle: Annotated[Path, tyro.conf.Positional]
    """Folder made by mcore-export, with exemplars."""
    data: Path
    """List of labelled dives (.jsonl or .csv), none of them an exemplar."""
    split: Split = "test"
    """Part of the list."""
    backend: BackendName = "auto"
    """Inference engine."""
    num_resamples: int = 1000
    """Bootstrap resamples of each interval."""
    json: Path | None = None
    """Write all figures to this .json file."""

    def __post_init__(self) -> None:
        if self.num_resamples < 1:
            raise UserError(f"{self.num_resamples} resamples; at least 1")
        if self.json is not None and self.json.suffix != ".json":
            raise UserError(f"--json writes to a file that ends in .json, got {str(self.json)!r}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(
        lambda: _run(
            tyro.cli(Options, prog="python -m mcore_export.accuracy", args=argv, description=description(__doc__))
        )
    )


def _run(options: Options) -> int:
    if options.json is not None:
        check_folder(options.json.parent, "the folder of --json", "choose another place")
    found = measure(options)
    Console(soft_wrap=True).print(table(found))
    if options.json is not None:
        write_text(options.json, json.dumps(asdict(found), indent=2, allow_nan=False) + "\n")
    return 0


def measure(options: Options) -> BundleAccuracy:
    """Score the dives of a list.

    Raises:
        UserError: too few dives, the bundle has no exemplars, or one of the dives is among them.
    """
    bundle = Bundle.open(options.bundle)
    records = select_split(read_manifest(options.data), options.split)
    if len(records) < LEAST_DIVES:
        raise UserError(f"{options.data} has {len(records)} {options.split} dives; at least {LEAST_DIVES}")
    banks = {name: bundle.load_exemplars(name) for name in bundle.variants}
    exemplars = set(zip(banks["fp32"].names.tolist(), banks["fp32"].scores.tolist(), strict=True))
    dives = zip(dive_names(records, options.data), (record.score for record in records), strict=True)
    if shared := sorted(name for name, score in dives if (name, score) in exemplars):
        raise UserError(
            f"{len(shared)} of these dives are exemplars of the bundle, such as {shared[0]}: that would flatter it. "
            "Give dives that it does not hold"
        )
    with ExitStack() as stack:
        backends = {
            name: stack.enter_context(closing(open_backend(graphs, options.backend)))
            for name, graphs in bundle.variants.items()
        }
        say = partial(print, file=sys.stderr)
        scores = score_both_ways(backends, banks, bundle.model.clip, records, "scoring", say)
        engine = backends["fp32"]
        names = engine.name, engine.provider
    rows = []
    for name, ways in scores.items():
        record = bundle.manifest.variants[name].exemplars
        known = None if record is None else record.calibration
        for same in (True, False):
            mine, exact = ((w.same_number if same else w.other_numbers) for w in (ways, scores["fp32"]))
            calibration = None if known is None else known.same_number if same else known.other_numbers
            if len(mine.true) >= LEAST_DIVES:
                rows.append(_row(name, same, mine, exact, calibration, options.num_resamples))
    levels = [known.level for known in _calibrations(bundle)]
    return BundleAccuracy(
        bundle_sha256=bundle.sha256,
        checkpoint=bundle.manifest.checkpoint.name,
        backend=names[0],
        provider=names[1],
        data=options.data.name,
        split=options.split,
        level=levels[0] if levels else None,
        rows=tuple(rows),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def table(found: BundleAccuracy) -> Table:
    """The figures with their 95 % bootstrap intervals."""
    shown = Table(
        title=f"{found.checkpoint}, {found.split} dives of {found.data}, {found.backend}", title_justify="left"
    )
    interval = "in the interval" if found.level is None else f"in the {100 * found.level:.0f} % interval"
    for heading in ("precision", "exemplars", "dives", "SRCC", "R-l2 x100", "MAE, points", interval, "half width",
                    "from fp32, mean", "largest"):  # fmt: skip
        shown.add_column(heading, justify="left" if heading in ("precision", "exemplars") else "right")
    for row in found.rows:
        shown.add_row(
            row.precision,
            "of the number" if row.same_number else "of others only",
            str(row.dives),
            *(with_interval(f).replace("[", r"\[") for f in (row.srcc, row.relative_l2_x100, row.mae_points)),
            "" if row.coverage is None else with_interval(row.coverage).replace("[", r"\["),
            "" if row.half_width_points is None else f"{row.half_width_points:.1f}",
            f"{row.from_fp32_mean_points:.2g}",
            f"{row.from_fp32_largest_points:.2g}",
        )
    return shown


def _calibrations(bundle: Bundle) -> list[Calibration]:
    records = (variant.exemplars for variant in bundle.manifest.variants.values())
    known = [record.calibration for record in records if record is not None and record.calibration is not None]
    return [each for pair in known for each in (pair.same_number, pair.other_numbers) if each is not None]


def _row(
    precision: Precision, same: bool, scores: Scores, exact: Scores, calibration: Calibration | None, resamples: int
) -> Row:
    predicted, true = np.array(scores.predicted), np.array(scores.true)
    span = float(np.ptp(true)) or float("nan")

    def of(metric: Callable[..., float], *columns: NDArray[np.generic]) -> Figure:
        return bootstrap_figure(metric, columns, resamples, 0)

    coverage = None
    if calibration is not None:
        coverage = of(lambda held: float(np.mean(held)), np.abs(predicted - true) <= calibration.half_width_points)
    apart = np.abs(predicted - np.array(exact.predicted))
    return Row(
        precision=precision,
        same_number=same,
        dives=len(true),
        srcc=of(metrics.srcc, predicted, true),
        relative_l2_x100=of(partial(metrics.relative_l2, score_range=span), predicted, true),
        mae_points=of(metrics.mean_absolute_error, predicted, true),
        half_width_points=None if calibration is None else calibration.half_width_points,
        coverage=coverage,
        from_fp32_mean_points=float(apart.mean()),
        from_fp32_largest_points=float(apart.max()),
    )


if __name__ == "__main__":
    sys.exit(main())
