"""A detector on real clips whose marks are known: films stay where they are, figures go into the result."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import UserError
from mcore.common.typed_json import decode
from mcore.config import ClipConfig
from mcore.data.manifest import DiveRecord, read_manifest, select_split
from mcore.data.own_clips import labelled_moments
from mcore.video import look_through, resize_frame
from mcore.video.sampling import clip_window
from mcore_bench.cases.watching import Watched, watch
from mcore_bench.result import Row, Table, make_table
from mcore_runtime.detector import Detector, stay
from mcore_runtime.scoring.batch import DiveRequest, score_all, search
from mcore_runtime.scoring.result import DiveScore
from mcore_runtime.scoring.scorer import Scorer
from mcore_runtime.sources.file import FileConnection
from mcore_runtime.sources.uri import parse_source

MARKS = Path(__file__).parents[2] / "real_clips.json"
"""Marks of the clips that this project is measured on; the clips themselves are not part of it."""


class TrueDive(NamedTuple):
    """When a dive begins and ends, seconds of its film."""

    takeoff_s: float
    entry_s: float


@dataclass(frozen=True)
class MarkedClip:
    """What happens in a film."""

    file: str
    takeoff_frame: int | None = None
    """Last frame in which the diver touches the board, from 0; None: no dive."""
    entry_frame: int | None = None
    """First frame in which the diver touches the water."""
    slow_motion: bool = False
    start_s: float | None = None
    """Where the frames are counted from, seconds after the film's first frame; None: there."""

    def __post_init__(self) -> None:
        if (self.takeoff_frame is None) != (self.entry_frame is None):
            raise UserError(f"{self.file}: give both takeoff_frame and entry_frame, or neither")

    def dive(self, times_s: Sequence[float]) -> TrueDive:
        """Return the marked dive of a film whose frames have these times."""
        assert self.takeoff_frame is not None
        assert self.entry_frame is not None
        counted_s = times_s[clip_window(np.array(times_s) - times_s[0], self.start_s, None)]
        if self.entry_frame >= len(counted_s):
            raise UserError(f"{self.file} has {len(counted_s)} frames, so its marks are of another film")
        return TrueDive(counted_s[self.takeoff_frame], counted_s[self.entry_frame])


def real_clips_table(folder: Path, marks: Path, name: str, make: Callable[[float], Detector]) -> Table:
    """Watch every marked film of a folder.

    Args:
        folder: of the films.
        marks: a JSON list of ``MarkedClip``.
        name: of the detector.
        make: gives a fresh detector for a picture's width over its height.

    Raises:
        UserError: a film or the marks are missing or cannot be read.
    """
    return _films_table(f"real clips: {name} detector", folder, _read_marks(marks), make)


def own_dives_table(listing: Path, name: str, make: Callable[[float], Detector]) -> Table:
    """Watch the films of a list's test split, each with one dive.

    Args:
        listing: a list of dives with take-off and entry.
        name: of the detector.
        make: gives a fresh detector for a picture's width over its height.

    Raises:
        UserError: a film or the list cannot be read, take-off and entry are not labelled, or a film has several dives.
    """
    clips = [_marked(record, listing.parent) for record in select_split(read_manifest(listing), "test")]
    file, count = Counter(clip.file for clip in clips).most_common(1)[0]
    if count > 1:
        raise UserError(f"{file} has {count} dives of the list; films with one dive each can be watched")
    return _films_table(f"dives of {listing.name}: {name} detector", listing.parent, clips, make)


def _films_table(title: str, folder: Path, clips: Sequence[MarkedClip], make: Callable[[float], Detector]) -> Table:
    rows = [_row(clip, *_watch(folder / clip.file, make)) for clip in clips]
    live, others = ([row for row in rows if (row[1] == "dive") is is_live] for is_live in (True, False))
    alarms, alarms_of_others = (sum(int(row[3] or 0) for row in part) for part in (rows, others))
    note = f"found {sum(row[2] == 'found' for row in live)} of {len(live)} real-time dives; {alarms} false alarms"
    if others:
        note += f", {alarms_of_others} of them in the {len(others)} others"
    columns = {"film": "", "shows": "", "dive": "", "false alarms": "d", "take-off, s": "+.2f", "entry, s": "+.2f",
               "known after the entry, s": "+.2f", "CPU ms a frame": ".2f"}  # fmt: skip
    return make_table(title, columns, rows, note)


def boundaries_table(folder: Path, marks: Path, bundle: Path) -> Table:
    """Score every marked dive in real time, as ``mcore-score`` does, and compare its boundaries with the marks.

    Args:
        folder: of the films.
        marks: a JSON list of ``MarkedClip``.
        bundle: whose network places take-off and entry.

    Raises:
        UserError: a film, the marks or the bundle are missing or cannot be read.
    """
    rows: list[Row] = []
    with Scorer(bundle) as scorer:
        for clip in _read_marks(marks):
            if clip.takeoff_frame is None or clip.slow_motion:
                continue
            video = folder / clip.file
            true = clip.dive(look_through(video, lambda _: lambda picture, time_s: None).tolist())
            found = score_all(
                scorer, search(DiveRequest(video), scorer.bundle.spotter), any_exemplar=True, accept_unlike=True
            )
            errors = [_boundary_errors_s(each.result, true) for each in found if each.result is not None]
            rows.append((clip.file, *min(errors, key=lambda pair: abs(pair[1]), default=(None, None))))
    return make_table(
        f"real clips: boundaries of {bundle.name}", {"film": "", "take-off, s": "+.2f", "entry, s": "+.2f"}, rows,
        "as the scoring network places them in the clip that the detector cuts; found less marked"
    )  # fmt: skip


def _boundary_errors_s(result: DiveScore, true: TrueDive) -> tuple[float, float]:
    start_s = result.video.start_s or 0.0
    takeoff_s, entry_s = result.transitions_s
    return start_s + takeoff_s - true.takeoff_s, start_s + entry_s - true.entry_s


def _read_marks(marks: Path) -> list[MarkedClip]:
    try:
        text = marks.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read marks of films from {marks}: {error}") from error
    return decode(list[MarkedClip], text, f"{marks} has no marks of films")


def _marked(record: DiveRecord, folder: Path) -> MarkedClip:
    flight, entry = labelled_moments(record)
    return MarkedClip(os.path.relpath(record.path, folder), max(0, flight - 1), entry, start_s=record.start_s)


def _watch(path: Path, make: Callable[[float], Detector]) -> tuple[Watched, list[float]]:
    """Show a film to a fresh detector; also the time of each frame."""
    config, times_s = ClipConfig(), list[float]()
    with closing(FileConnection(parse_source(str(path)))) as film:
        pictures = film.pictures()
        first = next(pictures)
        height, width = np.shape(first.rgb)[:2]

        def shown() -> Iterator[tuple[NDArray[np.uint8], float]]:
            for picture in chain([first], pictures):
                assert picture.media_s is not None  # files that have no times are refused
                times_s.append(picture.media_s)
                small = resize_frame(picture.rgb, config)
                yield small, picture.media_s
            for time_s in stay(times_s[-1], (times_s[-1] - times_s[0]) / max(1, len(times_s) - 1)):  # as in mcore-run
                yield small, time_s

        return watch(shown(), make(width / height)), times_s


def _row(clip: MarkedClip, seen: Watched, times_s: list[float]) -> Row:
    if clip.takeoff_frame is None or clip.entry_frame is None:
        _, alarms = seen.match([])
        return (clip.file, "no dive", None, len(alarms), None, None, None, seen.cpu_ms)
    true = clip.dive(times_s)
    pairs, alarms = seen.match([true], slow_motion=clip.slow_motion)
    shows, found = ("slow motion", "named") if clip.slow_motion else ("dive", "found")
    if clip.slow_motion:  # only what is taken for a dive in real time is an alarm
        _, alarms = seen.match([])
    if not pairs:
        return (clip.file, shows, f"not {found}", len(alarms), None, None, None, seen.cpu_ms)
    dive = pairs[0][1]
    errors = (dive.takeoff_s - true.takeoff_s, dive.entry_s - true.entry_s, seen.certain_s(dive) - true.entry_s)
    return (clip.file, shows, found, len(alarms), *errors, seen.cpu_ms)
