"""How many good dives a bundle refuses as unlike those it knows, and how many clips that are no dives.

    mcore-bundle unlike bundle --data dives.jsonl
    mcore-bundle unlike bundle --data dives.jsonl --clips folder_of_other_videos --json unlike.json --plot roc.png

Good are the dives of the list's test split. No dives are some of them spoiled (``SPOILED``), and the videos of a
folder, each taken as a whole. Needs no torch.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mcore.common.errors import ClipError, UserError
from mcore.common.files import write_text
from mcore.common.likeness import Likeness, describe_known_dives
from mcore.common.optional import require
from mcore.data.cache_folder import check_folder
from mcore.data.manifest import Split, read_manifest, select_split
from mcore.data.trained_dives import check_new
from mcore.evaluation.plots import roc_curves
from mcore.metrics import share_interval
from mcore.video import SampledClip, sample_clip
from mcore_export.likeness.spoiled import SPOILED
from mcore_runtime.backends import BackendName
from mcore_runtime.scoring.scorer import Scorer

VIDEOS = (".avi", ".mkv", ".mov", ".mp4", ".webm")
"""Files of a folder that are taken for videos."""
WIDTH = 150
"""Columns of the table, also where the output is a file."""
GOOD = "good dives"
FOLDER = "videos of --clips"


@dataclass(frozen=True)
class Row:
    """One kind of clip."""

    kind: str
    clips: int
    refused: int
    auc: float | None
    """Area under the ROC curve against the good dives: 1 where all of the kind are stranger, 0.5 where none can be told
    from them; None of the good dives themselves."""
    reason: str
    """What the refused ones are refused for first, most often; empty: none is."""
    strangeness: tuple[float, ...]
    """Of each clip, ascending: what the ROC curve is drawn from."""


@dataclass(frozen=True)
class LikenessFigures:
    """A measured bundle."""

    bundle_sha256: str
    checkpoint: str
    backend: str
    known_dives: int
    promised: float
    """Share of good dives that it refuses at most."""
    data: str
    split: str
    left_out: int
    """Dives and videos that could not be read."""
    rows: tuple[Row, ...]
    created: str


@dataclass(frozen=True)
class Options:
    """Measure which clips a bundle refuses as unlike the dives that it knows."""

    bundle: Annotated[Path, tyro.conf.Positional]
    """Folder made by mcore-export, with measures of known dives."""
    data: Path
    """List of dives (.jsonl or .csv), with dives that the bundle does not know."""
    split: Split = "test"
    """Part of the list."""
    clips: Path | None = None
    """Folder of videos that are no dives, or not like these."""
    num_spoiled: int = 24
    """Spoil at most this many of the dives, evenly over the list: each is scored once for every way of spoiling."""
    backend: BackendName = "auto"
    """Backend; auto: the best that the bundle and this machine have."""
    threads: int | None = None
    """CPU threads; default: the backend's choice."""
    json: Path | None = None
    """Write all figures to this .json file."""
    plot: Path | None = None
    """Draw the ROC curves to this .png file; needs matplotlib."""

    def __post_init__(self) -> None:
        if self.num_spoiled < 1:
            raise UserError(f"{self.num_spoiled} dives to spoil; at least 1")
        if self.json is not None and self.json.suffix != ".json":
            raise UserError(f"--json writes to a file that ends in .json, got {str(self.json)!r}")
        if self.plot is not None and self.plot.suffix != ".png":
            raise UserError(f"--plot draws to a file that ends in .png, got {str(self.plot)!r}")
        if self.clips is not None and not self.clips.is_dir():
            raise UserError(f"--clips {self.clips} is no folder; give one with videos, or leave it out")


def run(options: Options) -> int:
    """Measure, print a table, and write the figures and draw them where that is asked for; returns 0."""
    for flag, path in (("--json", options.json), ("--plot", options.plot)):
        if path is not None:
            check_folder(path.parent, f"the folder of {flag}", "choose another place")
    if options.plot is not None:
        require("matplotlib.figure", "train", "--plot")  # before minutes of measuring
    found = measure(options)
    Console(width=max(Console().width, WIDTH), soft_wrap=True).print(table(found))
    if options.json is not None:
        write_text(options.json, json.dumps(asdict(found), indent=2, allow_nan=False) + "\n")
    if options.plot is not None:
        draw(options.plot, found)
    return 0


def measure(options: Options) -> LikenessFigures:
    """Compare good and other clips with the dives that a bundle knows.

    Raises:
        UserError: the bundle cannot say whether a clip is like the dives that it knows, or there are no dives.
    """
    with Scorer(options.bundle, options.backend, threads=options.threads) as scorer:
        known, bundle = scorer.known_dives, scorer.bundle
        if known is None:
            raise UserError(describe_known_dives(None))
        records = select_split(read_manifest(options.data), options.split)
        if (known.source, known.split) == (options.data.name, options.split):
            raise UserError(f"the bundle knows the {known.split} dives of {known.source}: give another --split or list")
        if options.split != "train" and (
            remark := check_new(bundle.trained_dives(), records, options.data, options.bundle)
        ):
            print(f"note: {remark}", file=sys.stderr)
        likenesses: dict[str, list[Likeness]] = {kind: [] for kind in (GOOD, *SPOILED, FOLDER)}
        windows = [(record.path, record.start_s, record.end_s) for record in records]
        left_out: list[str] = []
        to_spoil = set(np.linspace(0, len(windows) - 1, min(options.num_spoiled, len(windows))).astype(int).tolist())
        for index, clip in enumerate(_clips(windows, scorer, left_out, "dives, whole and spoiled")):
            likenesses[GOOD].append(_judge(scorer, clip))
            for kind, spoil in SPOILED.items() if index in to_spoil else ():
                likenesses[kind].append(_judge(scorer, spoil(clip)))
        others = [] if options.clips is None else sorted(p for p in options.clips.iterdir() if p.suffix in VIDEOS)
        for clip in _clips([(path, None, None) for path in others], scorer, left_out, "other videos"):
            likenesses[FOLDER].append(_judge(scorer, clip))
        if not likenesses[GOOD]:
            raise UserError(f"none of the {len(records)} {options.split} dives of {options.data} can be read")
        return LikenessFigures(
            bundle_sha256=bundle.sha256,
            checkpoint=bundle.manifest.checkpoint.name,
            backend=f"{scorer.backend.name}, {scorer.backend.provider}, {scorer.compute_dtype}",
            known_dives=known.num_dives,
            promised=known.refused,
            data=options.data.name,
            split=options.split,
            left_out=len(left_out),
            rows=tuple(_row(kind, found, likenesses[GOOD]) for kind, found in likenesses.items() if found),
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )


def table(found: LikenessFigures) -> Table:
    """The figures, a row for each kind of clip."""
    title = (
        f"{found.checkpoint}, {found.split} dives of {found.data}; {found.backend}; promised: at most 1 good dive in "
        f"{1 / found.promised:.0f} is refused ({found.known_dives} known dives)"
    )
    shown = Table(title=title, title_justify="left")
    for heading in ("clips", "number", "refused", "of 100", "95 %", "AUC", "refused for, most often"):
        shown.add_column(heading, justify="left" if heading in ("clips", "refused for, most often") else "right")
    for row in found.rows:
        auc = "" if row.auc is None else f"{row.auc:.3f}"
        share = f"{100 * row.refused / row.clips:.0f}"
        interval = " to ".join(f"{100 * end:.0f}" for end in share_interval(row.refused, row.clips))
        shown.add_row(row.kind, str(row.clips), str(row.refused), share, interval, auc, row.reason)
    return shown


def draw(path: Path, found: LikenessFigures) -> None:
    """Draw the ROC curve of each kind of clip to a PNG file.

    Raises:
        UserError: the file cannot be written.
    """
    good, *others = found.rows
    title = f"{found.checkpoint}: {good.clips} good dives and other clips, {found.known_dives} known dives"
    curves = {f"{row.auc:.3f}  {row.kind}": (row.strangeness, row.refused) for row in others}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        roc_curves(path, (good.strangeness, good.refused), curves, title)
    except OSError as error:
        raise UserError(f"the curves cannot be written to {path}: {error}; choose another --plot") from error


def area_under_roc(usual: Sequence[float], strange: Sequence[float]) -> float:
    """Return the probability that a strange clip's strangeness exceeds a usual one's; equal ones count half."""
    difference = np.subtract.outer(np.asarray(strange), np.asarray(usual))
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


def _clips(
    windows: Sequence[tuple[Path, float | None, float | None]], scorer: Scorer, left_out: list[str], text: str
) -> Iterator[SampledClip]:
    """Read clips; one that cannot be read is said and left out."""
    console, disable = Console(stderr=True), not sys.stderr.isatty()
    for window in track(windows, text, console=console, disable=disable, transient=True):
        clip = _read(window, scorer)
        if isinstance(clip, str):
            print(f"left out: {clip}", file=sys.stderr)
            left_out.append(clip)
        else:
            yield clip


def _read(window: tuple[Path, float | None, float | None], scorer: Scorer) -> SampledClip | str:
    """Read a clip; returns why it cannot be read, if it cannot."""
    path, start_s, end_s = window
    try:
        return sample_clip(path, scorer.clip_config, start_s=start_s, end_s=end_s, central=True)
    except ClipError as error:
        return str(error)


def _judge(scorer: Scorer, clip: SampledClip) -> Likeness:
    """Score a clip, whose dive number plays no part, and return what the score says of its likeness."""
    likeness = scorer.score_clip(clip, scorer.select(None, any_exemplar=True)).likeness
    assert likeness is not None  # the bundle can say
    return likeness


def _row(kind: str, found: Sequence[Likeness], good: Sequence[Likeness]) -> Row:
    reasons = Counter(likeness.reasons[0] for likeness in found if likeness.reasons)
    auc = None if kind == GOOD else area_under_roc([g.strangeness for g in good], [f.strangeness for f in found])
    strangeness = tuple(sorted(float(f"{likeness.strangeness:.4g}") for likeness in found))
    reason = reasons.most_common(1)[0][0] if reasons else ""
    return Row(kind, len(found), reasons.total(), auc, reason, strangeness)
