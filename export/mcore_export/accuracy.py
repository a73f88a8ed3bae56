"""Accuracy of a bundle as deployed: its graphs and exemplars on labelled dives, in every precision that it holds.

    mcore-bundle accuracy bundle --data dives.jsonl --split test

With intervals in the bundle a second table says what their width is worth: that follows the difficulty, or nothing.

Scores each dive against the exemplars of its number, and once more as if the bundle had none of it: the network has
learned from dives of the number all the same. Says how well scores agree with the judges, what share of them the
intervals hold, and how far other precisions are from fp32. Needs no torch.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from mcore import metrics
from mcore.common.conformal import ConformalInterval
from mcore.common.errors import UserError
from mcore.common.files import write_text
from mcore.data.cache_folder import check_folder
from mcore.data.manifest import DiveRecord, Split, dive_names, read_manifest, select_split
from mcore.data.trained_dives import check_new
from mcore.data.trained_on import TrainedOn, caution, describe_training
from mcore.evaluation.assessment import Figure, bootstrap_figure
from mcore.evaluation.tables import with_interval
from mcore_export.exemplars.dive_scores import Comparer, Scores, possible_scores, score_same_and_other_numbers
from mcore_export.interval_widths import WidthRow, width_rows, width_table
from mcore_runtime.backends import BFLOAT16, Backend, BackendName, open_backend
from mcore_runtime.bundle.exemplars import ExemplarBank
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import hash_file

MIN_DIVES = 2
_BF16 = "bf16"
WIDTH = 150
"""Columns of the table, also where the output is a file."""


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
class Options:
    """Measure a bundle's accuracy on labelled dives, in every precision that it holds."""

    bundle: Annotated[Path, tyro.conf.Positional]
    """Folder made by mcore-export, with exemplars."""
    data: Path
    """List of labelled dives (.jsonl or .csv), none of them an exemplar."""
    split: Split = "test"
    """Part of the list."""
    backend: BackendName = "auto"
    """Backend; auto: the best that the bundle and this machine have."""
    bf16: bool = False
    """Also score with the fp32 backbone computed in bfloat16 (--backend openvino-bf16 of the other commands)."""
    num_resamples: int = 1000
    """Bootstrap resamples of each interval."""
    json: Path | None = None
    """Write all figures to this .json file."""

    def __post_init__(self) -> None:
        if self.backend == BFLOAT16:
            raise UserError(
                f"--backend {BFLOAT16} would have nothing to be compared with; add --bf16 to another backend"
            )
        if self.num_resamples < 1:
            raise UserError(f"{self.num_resamples} resamples; at least 1")
        if self.json is not None and self.json.suffix != ".json":
            raise UserError(f"--json writes to a file that ends in .json, got {str(self.json)!r}")


def run(options: Options) -> int:
    """Measure, print a table, and write the figures where that is asked for; returns 0."""
    if options.json is not None:
        check_folder(options.json.parent, "the folder of --json", "choose another place")
    found = measure(options)
    console = Console(width=max(Console().width, WIDTH), soft_wrap=True)
    console.print(table(found))
    if found.widths:
        console.print(width_table(found.widths))
    print(caution(found.trained_on) or describe_training(found.trained_on))
    if options.json is not None:
        write_text(options.json, json.dumps(asdict(found), indent=2, allow_nan=False) + "\n")
    return 0


def measure(options: Options) -> BundleAccuracy:
    """Score the dives of a list.

    Raises:
        UserError: too few dives, the bundle has no exemplars, or these dives are among them, gave its
            intervals, or were trained on.
    """
    bundle = Bundle.open(options.bundle)
    records = select_split(read_manifest(options.data), options.split)
    if len(records) < MIN_DIVES:
        raise UserError(f"{options.data} has {len(records)} {options.split} dives; at least {MIN_DIVES}")
    banks: dict[str, ExemplarBank] = {name: bundle.load_exemplars(name) for name in bundle.variants}
    refuse_known(bundle, banks["fp32"], records, options.data, options.split)
    if options.split != "train" and (
        remark := check_new(bundle.trained_dives(), records, options.data, options.bundle)
    ):
        print(f"note: {remark}", file=sys.stderr)
    with ExitStack() as stack:
        backends: dict[str, Backend] = {
            name: stack.enter_context(closing(open_backend(graphs, options.backend)))
            for name, graphs in bundle.variants.items()
        }
        if options.bf16:
            backends[_BF16] = stack.enter_context(closing(open_backend(bundle.graphs("fp32"), BFLOAT16)))
            banks[_BF16] = banks["fp32"]
        left_out: list[str] = []
        bank_record = bundle.manifest.variants["fp32"].exemplars
        assert bank_record is not None  # load_exemplars would have refused
        compared = bank_record.num_compared
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
    exemplars, scored = bundle.manifest.variants["fp32"].exemplars, scores["fp32"].same_number
    conformal = None if exemplars is None or exemplars.conformal is None else exemplars.conformal.same_number
    levels = [known.level for known in _intervals(bundle)]
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
        level=levels[0] if levels else None,
        rows=tuple(rows),
        widths=()
        if conformal is None
        else width_rows(possible_scores(scored), scored, conformal, options.num_resamples),
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


def refuse_known(bundle: Bundle, bank: ExemplarBank, records: Sequence[DiveRecord], data: Path, split: Split) -> None:
    """Refuse dives that the bundle knows: exemplars, by file, number and score, and those of its intervals.

    Raises:
        UserError: there are such dives among them.
    """

    def key(name: str, number: str, score: float) -> tuple[str, str, float]:
        return PurePosixPath(name).name, number, score

    exemplars = set(map(key, bank.names.tolist(), bank.dive_numbers.tolist(), bank.scores.tolist()))
    names = dive_names(records, data)
    dives = ((n, key(n, r.dive_number, r.score)) for n, r in zip(names, records, strict=True))
    if shared := sorted(name for name, dive in dives if dive in exemplars):
        raise UserError(
            f"{len(shared)} of these dives are exemplars of the bundle, such as {shared[0]}: that would flatter it. "
            "Give dives that it does not hold"
        )
    for variant in bundle.manifest.variants.values():
        known = None if variant.exemplars is None else variant.exemplars.conformal
        if known is not None and (known.source, known.split) == (data.name, split):
            raise UserError(
                f"the bundle's intervals come from the {known.split} dives of {known.source}: that would "
                "flatter them. Give another --split or list"
            )


def _intervals(bundle: Bundle) -> list[ConformalInterval]:
    records = (variant.exemplars for variant in bundle.manifest.variants.values())
    known = [record.conformal for record in records if record is not None and record.conformal is not None]
    return [each for pair in known for each in (pair.same_number, pair.other_numbers) if each is not None]


def _row(
    precision: str, same: bool, scores: Scores, exact: Scores, interval: ConformalInterval | None, resamples: int
) -> Row:
    predicted, true = possible_scores(scores), np.array(scores.true)
    span = float(np.ptp(true)) or float("nan")

    def of(metric: Callable[..., float], *columns: NDArray[np.generic]) -> Figure:
        return bootstrap_figure(metric, columns, resamples, 0)

    coverage, half_width = None, None
    if interval is not None:
        half_widths = interval.half_widths(np.array(scores.difficulties))
        half_width = float(half_widths.mean())
        coverage = of(lambda held: float(np.mean(held)), np.abs(predicted - true) <= half_widths)
    apart = np.abs(predicted - possible_scores(exact))
    same_cut = np.array([a == b for a, b in zip(scores.transitions, exact.transitions, strict=True)])
    return Row(
        precision=precision,
        same_number=same,
        dives=len(true),
        srcc=of(metrics.srcc, predicted, true),
        relative_l2_x100=of(partial(metrics.relative_l2, score_range=span), predicted, true),
        mae_points=of(metrics.mean_absolute_error, predicted, true),
        half_width_points=half_width,
        coverage=coverage,
        from_fp32_mean_points=float(apart.mean()),
        from_fp32_largest_points=float(apart.max()),
        other_transitions=int((~same_cut).sum()),
        same_transitions_mean_points=float(apart[same_cut].mean()) if same_cut.any() else None,
        same_transitions_largest_points=float(apart[same_cut].max()) if same_cut.any() else None,
    )
