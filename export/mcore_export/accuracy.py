"""Accuracy of a bundle as deployed: its graphs and exemplars on labelled dives, in every precision that it holds.

    mcore-bundle accuracy bundle --data dives.jsonl --split test

With intervals in the bundle a second table says what their width is worth: that follows the difficulty, or nothing.

Scores each dive against the exemplars of its number, and once more as if the bundle had none of it: the network has
learned from dives of the number all the same. Says how well scores agree with the judges, what share of them the
intervals hold, and how far other precisions are from fp32. Needs no torch.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np
from rich.table import Table

from mcore.common.conformal import ConformalInterval
from mcore.common.errors import UserError
from mcore.data.trained_on import TrainedOn
from mcore.evaluation.assessment import Figure, bootstrap_share, score_figures
from mcore.evaluation.tables import with_interval
from mcore_export.exemplars.dive_scores import Comparer, Scores, possible_scores, score_same_and_other_numbers
from mcore_export.interval_widths import WidthRow, width_rows, width_table
from mcore_export.measuring import MIN_DIVES, MeasuringOptions, dives_to_measure, show_figures
from mcore_runtime.backends import BFLOAT16, Backend, open_backend
from mcore_runtime.bundle.exemplars import ExemplarBank
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import hash_file

_BF16 = "bf16"


@dataclass(frozen=True)
class Row:
    """One precision, with exemplars of the dive's number or without."""

    precision: str
    """Precision of the bundle's graphs; or ``bf16``, which is their fp32 backbone computed so."""
    same_number: bool
    dives: int
    srcc: Figure
    relative_l2_x100: Figure
    mae_points: Figure
    half_width_points: float | None
    """Mean half width of the bundle's intervals; None: it has none."""
    coverage: Figure | None
    """Share of the judges' scores in them."""
    from_fp32_mean_points: float
    """Mean distance of its scores from those of fp32."""
    from_fp32_largest_points: float
    other_transitions: int
    """Dives of which it finds a transition in another frame than fp32."""
    same_transitions_mean_points: float | None
    """Mean distance from fp32 of the others; None: there are none."""
    same_transitions_largest_points: float | None


@dataclass(frozen=True)
class BundleAccuracy:
    """A measured bundle."""

    bundle_sha256: str
    checkpoint: str
    num_exemplars: int
    num_compared: int | None
    """Exemplars that a dive is compared with; None: all of its number."""
    engines: Mapping[str, str]
    """Backend, device and compute dtype of the backbone, by precision."""
    data: str
    data_sha256: str
    split: str
    left_out: int
    """Dives that could not be read."""
    num_resamples: int
    level: float | None
    """Share that the intervals are to hold; None: the bundle has none."""
    rows: tuple[Row, ...]
    widths: tuple[WidthRow, ...]
    """Intervals of fp32 by what their width follows; empty: the bundle has none, or too few difficulties are known."""
    created: str
    trained_on: TrainedOn | None
    """Dives that its network was trained on; None: not recorded."""


@dataclass(frozen=True)
class Options(MeasuringOptions):
    """Measure a bundle's accuracy on labelled dives, in every precision that it holds."""

    bf16: bool = False
    """Also score with the fp32 backbone computed in bfloat16 (--backend openvino-bf16 of the other commands)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.backend == BFLOAT16:
            raise UserError(
                f"--backend {BFLOAT16} would have nothing to be compared with; add --bf16 to another backend"
            )


def run(options: Options) -> int:
    """Measure, print tables, and write the figures where that is asked for; returns 0."""
    found = measure(options)
    tables = [table(found), *([width_table(found.widths)] if found.widths else [])]
    return show_figures(tables, found, options.json)


def measure(options: Options) -> BundleAccuracy:
    """Score the dives of a list.

    Raises:
        UserError: too few dives, the bundle has no exemplars, or these dives are among them, gave its
            intervals, or were trained on.
    """
    bundle = Bundle.open(options.bundle)
    banks: dict[str, ExemplarBank] = {name: bundle.load_exemplars(name) for name in bundle.variants}
    records = dives_to_measure(bundle, banks["fp32"], options)
    bank_record = bundle.manifest.variants["fp32"].exemplars
    assert bank_record is not None  # load_exemplars would have refused
    compared, intervals = bank_record.num_compared, bank_record.conformal
    with ExitStack() as stack:
        backends: dict[str, Backend] = {
            name: stack.enter_context(closing(open_backend(graphs, options.backend)))
            for name, graphs in bundle.variants.items()
        }
        if options.bf16:
            backends[_BF16] = stack.enter_context(closing(open_backend(bundle.graphs("fp32"), BFLOAT16)))
            banks[_BF16] = banks["fp32"]
        left_out: list[str] = []
        comparers = {name: Comparer(backend, banks[name], compared) for name, backend in backends.items()}
        scores = score_same_and_other_numbers(comparers, bundle.model.clip, records, "scoring", left_out.append)
        engines = {name: f"{b.name}, {b.provider}, {b.precision['backbone']}" for name, b in backends.items()}
    for line in left_out:
        print(line, file=sys.stderr)
    if len(records) - len(left_out) < MIN_DIVES:
        raise UserError(f"{len(left_out)} of {len(records)} dives cannot be read; at least {MIN_DIVES} are needed")
    rows, variants = [], {str(name): variant for name, variant in bundle.manifest.variants.items()}
    for name, both in scores.items():
        record = variants["fp32" if name == _BF16 else name].exemplars
        known = None if record is None else record.conformal
        for same in (True, False):
            mine, exact = ((w.same_number if same else w.other_numbers) for w in (both, scores["fp32"]))
            interval = None if known is None else known.same_number if same else known.other_numbers
            if len(mine.true) >= MIN_DIVES:
                rows.append(_row(name, same, mine, exact, interval, options.num_resamples))
    scored, conformal = scores["fp32"].same_number, None if intervals is None else intervals.same_number
    widths = () if conformal is None else width_rows(possible_scores(scored), scored, conformal, options.num_resamples)
    known_intervals = () if intervals is None else (intervals.same_number, intervals.other_numbers)
    return BundleAccuracy(
        bundle_sha256=bundle.sha256,
        checkpoint=bundle.manifest.checkpoint.name,
        num_exemplars=len(banks["fp32"]),
        num_compared=compared,
        engines=engines,
        data=options.data.name,
        data_sha256=hash_file(options.data).sha256,
        split=options.split,
        left_out=len(left_out),
        num_resamples=options.num_resamples,
        level=next((each.level for each in known_intervals if each is not None), None),
        rows=tuple(rows),
        widths=widths,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        trained_on=bundle.manifest.trained_on,
    )


def table(found: BundleAccuracy) -> Table:
    """The figures with their 95 % bootstrap intervals."""
    title = f"{found.checkpoint}, {found.split} dives of {found.data}; " + "; ".join(
        f"{name}: {engine}" for name, engine in found.engines.items()
    )
    shown = Table(title=title, title_justify="left")
    interval = "in the interval" if found.level is None else f"in the {100 * found.level:.0f} % interval"
    for heading in ("precision", "exemplars", "dives", "SRCC", "R-l2 x100", "MAE, points", interval, "half width",
                    "from fp32, mean", "largest", "other transitions", "mean without"):  # fmt: skip
        shown.add_column(heading, justify="left" if heading in ("precision", "exemplars") else "right")
    for row in found.rows:
        shown.add_row(
            row.precision,
            "of the number" if row.same_number else "of others only",
            str(row.dives),
            *(with_interval(f) for f in (row.srcc, row.relative_l2_x100, row.mae_points)),
            "" if row.coverage is None else with_interval(row.coverage),
            "" if row.half_width_points is None else f"{row.half_width_points:.1f}",
            f"{row.from_fp32_mean_points:.2g}",
            f"{row.from_fp32_largest_points:.2g}",
            str(row.other_transitions),
            "" if row.same_transitions_mean_points is None else f"{row.same_transitions_mean_points:.2g}",
        )
    return shown


def _row(
    precision: str, same: bool, scores: Scores, exact: Scores, interval: ConformalInterval | None, resamples: int
) -> Row:
    predicted, true = possible_scores(scores), np.array(scores.true)
    coverage, half_width = None, None
    if interval is not None:
        half_widths = interval.half_widths(np.array(scores.difficulties))
        half_width = float(half_widths.mean())
        coverage = bootstrap_share(np.abs(predicted - true) <= half_widths, resamples)
    apart = np.abs(predicted - possible_scores(exact))
    same_cut = np.array([a == b for a, b in zip(scores.transitions, exact.transitions, strict=True)])
    srcc, relative_l2, error = score_figures(predicted, true, resamples)
    return Row(
        precision=precision,
        same_number=same,
        dives=len(true),
        srcc=srcc,
        relative_l2_x100=relative_l2,
        mae_points=error,
        half_width_points=half_width,
        coverage=coverage,
        from_fp32_mean_points=float(apart.mean()),
        from_fp32_largest_points=float(apart.max()),
        other_transitions=int((~same_cut).sum()),
        same_transitions_mean_points=float(apart[same_cut].mean()) if same_cut.any() else None,
        same_transitions_largest_points=float(apart[same_cut].max()) if same_cut.any() else None,
    )
