"""The detector of dives on rendered meets, random pools and real clips: dives found, false alarms, errors, cost."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console
from rich.progress import track

from mcore.config import ClipConfig
from mcore.metrics import share_interval
from mcore.synthetic.heights import DrawnHeightM
from mcore.synthetic.meet.course import Meet, plan_meet
from mcore.synthetic.meet.scene import Scene
from mcore.synthetic.meet.settings import CameraKind, MeetSettings
from mcore.video import resize_frame
from mcore.video.spotting import SPOTTER_WEIGHTS
from mcore_bench.cases.random_pools import random_pools_tables
from mcore_bench.cases.real_clips import MARKS, boundaries_table, own_dives_table, real_clips_table
from mcore_bench.cases.watching import watch
from mcore_bench.report import finish_result
from mcore_bench.result import JsonFile, Row, Table, begin_result, make_table
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.detector import BallisticDetector, Detector, JointDetector, SpotterDetector

DetectorName = Literal["joint", "ballistic", "spotter"]


@dataclass(frozen=True)
class Measurement:
    """Dives found and invented by a detector in one rendered meet."""

    camera: CameraKind
    height_m: DrawnHeightM
    seed: int
    dives: int
    found: int
    false_alarms: tuple[float, ...]
    """Entry times of detections that are no dives, seconds."""
    takeoff_errors_s: tuple[float, ...]
    """Detected minus true, for the dives found."""
    entry_errors_s: tuple[float, ...]
    delays_s: tuple[float, ...]
    """From the true entry to the frame at which the detector was certain."""
    duration_s: float
    cpu_ms: float
    """Mean processor time of the detector for a frame."""


@dataclass(frozen=True)
class DetectorArguments(JsonFile):
    """Measure the detector of dives on rendered meets, and where asked for on random pools and on real clips.

        mcore-bench detector --dives 50 --seed 100
        mcore-bench detector --meets 0 --clips 300 --real-clips ../shared/real_clips

    Everything that can move beside a pool does. A dive counts as found when a detection's entry lies within half a
    second of the true one; every other detection is a false alarm.
    """

    detectors: tuple[DetectorName, ...] = ("joint",)
    """Which detectors; mcore-run has the joint one."""
    dives: int = 50
    """Dives in each meet."""
    meets: int = 1
    """Meets of each camera and height; 0: none."""
    clips: int = 0
    """Random pools, with and without a dive."""
    real_clips: Path | None = None
    """Folder of films whose marks are known."""
    marks: Path = MARKS
    """What happens in these films: a .json file."""
    own: Path | None = None
    """List of dives of one's own, as mcore-label writes it; the films of its test split are watched."""
    bundle: Path | None = None
    """Find dives by the spotter of this bundle; with --real-clips also where its network places take-off and entry."""
    seed: int = 100
    """Seed of the first meet; each further one has the next."""
    cameras: tuple[CameraKind, ...] = ("follow", "fixed")
    """Kinds of camera."""
    heights_m: tuple[DrawnHeightM, ...] = (3, 10)
    """Heights of the board."""
    pause_s: float = 8.0
    """Pause between dives, seconds."""
    size: tuple[int, int] = (MeetSettings.width, MeetSettings.height)
    """Width and height of the frames, pixels; they show as much in height."""


def measure_detector(arguments: DetectorArguments) -> int:
    """Run ``mcore-bench detector``."""
    result = begin_result("Detector of dives")
    spotter = SPOTTER_WEIGHTS if arguments.bundle is None else Bundle.open(arguments.bundle).spotter
    every: Mapping[DetectorName, Callable[[float], Detector]] = {
        "joint": partial(JointDetector, spotter=spotter),
        "ballistic": BallisticDetector,
        "spotter": lambda aspect: SpotterDetector(spotter),
    }
    makers: dict[str, Callable[[float], Detector]] = {name: every[name] for name in arguments.detectors}
    tables = [detector_table(name, _watch_meets(arguments, make)) for name, make in makers.items() if arguments.meets]
    if arguments.clips:
        tables += random_pools_tables(arguments.clips, arguments.seed, makers)
    if (folder := arguments.real_clips) is not None:
        tables += [real_clips_table(folder, arguments.marks, name, make) for name, make in makers.items()]
        if arguments.bundle is not None:
            tables.append(boundaries_table(folder, arguments.marks, arguments.bundle))
    if (listing := arguments.own) is not None:
        tables += [own_dives_table(listing, name, make) for name, make in makers.items()]
    finish_result(replace(result, tables=tuple(tables)), arguments.json)
    return 0


def _watch_meets(arguments: DetectorArguments, make: Callable[[float], Detector]) -> list[Measurement]:
    (width, height), measurements = arguments.size, []
    kinds = itertools.product(range(arguments.meets), arguments.cameras, arguments.heights_m)
    for number, (_, camera, height_m) in enumerate(kinds):
        settings = MeetSettings(
            seed=arguments.seed + number,
            dives=arguments.dives,
            pause_s=arguments.pause_s,
            height_m=height_m,
            camera=camera,
            width=width,
            height=height,
        )
        measurements.append(measure(plan_meet(settings), make(width / height), progress=sys.stderr.isatty()))
    return measurements


def measure(meet: Meet, detector: Detector, *, progress: bool = False) -> Measurement:
    """Show a rendered meet to a fresh detector and compare with the truth; ``progress`` shows a bar."""
    settings, config = meet.settings, ClipConfig()
    label = f"{settings.camera} camera, {settings.height_m} m"
    frames = enumerate(Scene(meet).frames())
    shown = track(frames, label, meet.num_frames, console=Console(stderr=True), disable=not progress)
    seen = watch(((resize_frame(rgb, config), index / settings.rate) for index, rgb in shown), detector)
    pairs, alarms = seen.match(meet.truth)
    return Measurement(
        camera=settings.camera,
        height_m=settings.height_m,
        seed=settings.seed,
        dives=len(meet.truth),
        found=len(pairs),
        false_alarms=tuple(dive.entry_s for dive in alarms),
        takeoff_errors_s=tuple(dive.takeoff_s - true.takeoff_s for true, dive in pairs),
        entry_errors_s=tuple(dive.entry_s - true.entry_s for true, dive in pairs),
        delays_s=tuple(seen.certain_s(dive) - true.entry_s for true, dive in pairs),
        duration_s=meet.num_frames / settings.rate,
        cpu_ms=seen.cpu_ms,
    )


def most_events(seen: int) -> float:
    """Return the 95 % upper limit of the number of events to expect, by Poisson's law, where so many were seen."""
    low, high = 0.0, 10.0 + 3.0 * seen
    for _ in range(60):
        middle = (low + high) / 2
        at_most_seen = math.exp(-middle) * sum(middle**k / math.factorial(k) for k in range(seen + 1))
        low, high = (middle, high) if at_most_seen > 0.05 else (low, middle)
    return high


def detector_table(name: str, measurements: Sequence[Measurement]) -> Table:
    """Return one row for each meet."""
    rows: list[Row] = [
        (m.camera, m.height_m, m.seed, m.dives, m.found, len(m.false_alarms), *_errors_ms(m.takeoff_errors_s),
         *_errors_ms(m.entry_errors_s), *_errors_ms(m.delays_s), m.duration_s / 60, m.cpu_ms)
        for m in measurements
    ]  # fmt: skip
    errors = [f"{what} ms, {p}" for what in ("take-off", "entry", "delay") for p in ("median", "p95")]
    columns = {"camera": "", **dict.fromkeys(("board, m", "seed", "dives", "found", "false alarms"), "d"),
               **dict.fromkeys(errors, ".0f"), "minutes": ".1f", "CPU ms a frame": ".2f"}  # fmt: skip
    return make_table(f"dives found in rendered meets: {name} detector", columns, rows, summary(measurements))


def summary(measurements: Sequence[Measurement]) -> str:
    """Return recall with its interval, and false alarms, over all meets."""
    dives, found = sum(m.dives for m in measurements), sum(m.found for m in measurements)
    alarms, hours = sum(len(m.false_alarms) for m in measurements), sum(m.duration_s for m in measurements) / 3600
    low, high = share_interval(found, dives)
    return (
        f"recall {100 * found / dives:.1f} % (95 %: {100 * low:.1f} to {100 * high:.1f}), {found} of {dives} dives; "
        f"{alarms} false alarms in {hours:.2f} hours: {100 * alarms / dives:.2f} for 100 dives "
        f"(95 %: at most {100 * most_events(alarms) / dives:.2f}), {alarms / hours:.2f} an hour"
    )


def _errors_ms(errors_s: Sequence[float]) -> tuple[float | None, float | None]:
    """Median and 95th percentile of absolute values."""
    if not errors_s:
        return None, None
    median, p95 = (np.percentile(np.abs(errors_s), [50, 95]) * 1e3).tolist()
    return median, p95
