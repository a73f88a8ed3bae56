"""How well a bundle names dive numbers, and what that is worth where a number is unknown.

    mcore-bundle numbers bundle --data dives.jsonl --json numbers.json

Names each dive of a list as the runtime does, and compares it with all exemplars, with those of its possible
numbers and with those of its number. Needs no torch.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np
from rich.table import Table

from mcore.common.errors import UserError
from mcore.common.recognition import LEVEL
from mcore.data.trained_on import TrainedOn
from mcore.evaluation.tables import rich_table, with_interval
from mcore_export.exemplars.dive_scores import Comparer, score_same_and_other_numbers
from mcore_export.measuring import MIN_DIVES, MeasuringOptions, dives_to_measure, show_figures
from mcore_export.numbers.figures import (
    NumberRow,
    ScoreRow,
    Share,
    doubt_shares,
    name_dives,
    name_shares,
    number_rows,
    score_rows,
    set_shares,
)
from mcore_runtime.bundle.records import Precision, RecogniserRecord, hash_file
from mcore_runtime.scoring.recognition import describe_recogniser
from mcore_runtime.scoring.scorer import Scorer


@dataclass(frozen=True)
class NumberFigures:
    """A measured bundle."""

    bundle_sha256: str
    checkpoint: str
    epoch: int | None
    """Of the checkpoint's training."""
    backend: str
    recogniser: RecogniserRecord
    data: str
    data_sha256: str
    split: str
    left_out: int
    """Dives that could not be read."""
    num_resamples: int
    level: float
    """Share of sets of possible numbers that are to hold the right number."""
    doubted: float
    """Share of rightly announced dives that are doubted, at most."""
    names: tuple[Share, ...]
    mean_set: float
    """Numbers in a set, on average."""
    sets: tuple[Share, ...]
    doubts: tuple[Share, ...]
    scores: tuple[ScoreRow, ...]
    by_number: tuple[NumberRow, ...]
    created: str
    trained_on: TrainedOn | None
    """Dives that its network was trained on; None: not recorded."""


@dataclass(frozen=True)
class Options(MeasuringOptions):
    """Measure how well a bundle names the dive number of clips, and scores of dives whose number is unknown."""

    precision: Precision | None = None
    """Precision of the graphs; default: the backend's, else fp32."""
    threads: int | None = None
    """CPU threads; default: the backend's choice."""


def run(options: Options) -> int:
    """Measure, print tables, and write the figures where that is asked for; returns 0."""
    found = measure(options)
    return show_figures(tables(found), found, options.json)


def measure(options: Options) -> NumberFigures:
    """Name and score the dives of a list.

    Raises:
        UserError: the bundle has not learned dive numbers, too few dives, or dives that it knows.
    """
    with Scorer(options.bundle, options.backend, precision=options.precision, threads=options.threads) as scorer:
        bundle, recogniser, record = scorer.bundle, scorer.recogniser, scorer.recogniser_record
        if recogniser is None or record is None:
            raise UserError(describe_recogniser(None))
        records = dives_to_measure(bundle, scorer.exemplars, options)
        left_out: list[str] = []
        comparer = Comparer(scorer.backend, scorer.exemplars, scorer.num_exemplars)
        compared = score_same_and_other_numbers(
            {scorer.precision: comparer}, scorer.clip_config, records, "naming dives", left_out.append
        )[scorer.precision].dives
        for line in left_out:
            print(line, file=sys.stderr)
        if len(compared) < MIN_DIVES:
            raise UserError(
                f"{options.data} has {len(compared)} {options.split} dives that can be read; at least {MIN_DIVES}"
            )
        named, resamples = name_dives(recogniser, compared), options.num_resamples
        return NumberFigures(
            bundle_sha256=bundle.sha256,
            checkpoint=bundle.manifest.checkpoint.name,
            epoch=bundle.manifest.checkpoint.epoch,
            backend=f"{scorer.backend.name}, {scorer.backend.provider}, {scorer.compute_dtype}",
            recogniser=record,
            data=options.data.name,
            data_sha256=hash_file(options.data).sha256,
            split=options.split,
            left_out=len(left_out),
            num_resamples=resamples,
            level=LEVEL,
            doubted=recogniser.doubted,
            names=name_shares(named, resamples),
            mean_set=float(np.mean([len(dive.possible) for dive in named])),
            sets=set_shares(named, resamples),
            doubts=doubt_shares(named, resamples),
            scores=score_rows(named, comparer, resamples),
            by_number=number_rows(named),
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            trained_on=bundle.manifest.trained_on,
        )


def tables(found: NumberFigures) -> list[Table]:
    """The figures with their 95 % bootstrap intervals."""
    record = describe_recogniser(found.recogniser)
    head = f"{found.checkpoint}, {found.split} dives of {found.data}; {found.backend}; it {record}"
    sets = f"possible numbers: {100 * found.level:.0f} % are to hold the right number; {found.mean_set:.2f} in a set"
    doubts = f"announcements that are doubted: at most 1 right one in {1 / found.doubted:.0f}"
    score_head = ("exemplars", "dives", "exemplars a dive", "SRCC", "R-l2 x100", "MAE, points", "less than all, points")
    score_cells = [
        (
            row.exemplars,
            str(row.dives),
            f"{row.mean_exemplars:.1f}",
            *map(with_interval, (row.srcc, row.relative_l2_x100, row.mae_points, row.mae_difference)),
        )
        for row in found.scores
    ]
    number_head = ("number", "dives", "right", "among the possible", "possible numbers", "else taken for")
    number_cells = [
        (
            row.number if row.learned else f"{row.number} (not learned)",
            *map(str, (row.dives, row.right, row.in_set)),
            f"{row.mean_set:.1f}",
            row.taken_for,
        )
        for row in found.by_number
    ]
    return [
        _shares(head, "named rightly", found.names),
        _shares(sets, "sets", found.sets),
        _shares(doubts, "announced", found.doubts),
        rich_table("scores where the number is unknown", score_head, score_cells),
        rich_table("by number", number_head, number_cells),
    ]


def _shares(title: str, what: str, shares: tuple[Share, ...]) -> Table:
    return rich_table(title, (what, "dives", "share"), [(s.what, str(s.dives), with_interval(s.share)) for s in shares])
