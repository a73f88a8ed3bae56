"""Hours of a live session of a rendered meet, run by ``mcore-run`` itself.

The session is a process of its own, watched from outside: its dives are lines of JSON, its memory is the system's
figure. So what is measured is what a user runs.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil

from mcore.common.errors import UserError
from mcore.common.typed_json import decode
from mcore.synthetic.meet.course import Meet, plan_meet
from mcore_bench.cases.watching import match
from mcore_bench.report import finish_result
from mcore_bench.result import JsonFile, Table, Value, begin_result, make_table
from mcore_runtime.backends import BackendName
from mcore_runtime.detector import DetectedDive
from mcore_runtime.sources import parse_source
from mcore_runtime.sources.rendered import settings_of

_SETTLED_SHARE = 0.25
"""Share of the session, after which nothing should be filled any more: caches, pools of the backend."""
_MIN_SAMPLES = 8
"""Samples of the later part: fewer say nothing of growth."""
_SAMPLE_S = 0.1
"""Seconds between two looks at the memory."""


@dataclass(frozen=True)
class DiveLine:
    """Fields of a line of ``mcore-run --json`` that are read."""

    number: int
    status: str
    takeoff_s: float
    entry_s: float
    dropped: int
    time_to_score_ms: float | None = None
    """From the arrival of a clip's last frame to its score."""


@dataclass(frozen=True)
class Session:
    """One run of ``mcore-run``."""

    dives: tuple[DiveLine, ...]
    wall_s: float
    memory: tuple[tuple[float, float], ...]
    """Seconds since the beginning, and megabytes resident."""

    @property
    def scored(self) -> int:
        """Dives with a score."""
        return sum(dive.status == "scored" for dive in self.dives)

    @property
    def settled(self) -> list[tuple[float, float]]:
        """Memory in the later part of the session."""
        return [sample for sample in self.memory if sample[0] >= _SETTLED_SHARE * self.wall_s]


@dataclass(frozen=True)
class SoakArguments(JsonFile):
    """Run a whole session for hours, as fast as the machine can, and watch memory, dives and scores.

        mcore-bench soak --bundle demo/bundle --hours 2

    Exit code: 0; 1 where memory grew by more than allowed, or a dive has no score; 2 for a mistake.
    """

    bundle: Path
    """Folder made by mcore-export."""
    backend: BackendName = "auto"
    """Backend; auto: the best that the bundle and this machine have."""
    threads: int | None = None
    """CPU threads; default: the backend's choice."""
    seed: int = 1
    """Seed of the meet."""
    hours: float = 2.0
    """Length of the stream."""
    pause_s: float = 8.0
    """Mean pause between dives, seconds."""
    max_growth_mb: float = 32.0
    """Most that memory may grow over the last three quarters of the session, megabytes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.01 <= self.hours <= 1000:
            raise UserError(f"--hours is {self.hours}; allowed: 0.01 to 1000")


def measure_soak(arguments: SoakArguments) -> int:
    """Run ``mcore-bench soak``; returns 1 where memory grew or a dive has no score."""
    address, meet = plan_soak(arguments.seed, 3600 * arguments.hours, arguments.pause_s)
    result = begin_result("Hours of a live session", threads=arguments.threads or 0)
    threads = [] if arguments.threads is None else ["--threads", str(arguments.threads)]
    session = run_session([address, "--bundle", str(arguments.bundle), "--backend", arguments.backend, *threads])
    finish_result(replace(result, tables=(soak_table(session, meet),)), arguments.json)
    return int(growth_mb(session) > arguments.max_growth_mb or session.scored < len(session.dives))


def plan_soak(seed: int, stream_s: float, pause_s: float) -> tuple[str, Meet]:
    """Return address and truth of a meet that lasts at least this long, with this mean pause between dives."""
    dives = max(2, round(stream_s / (pause_s + 12)))
    while True:
        address = f"synthetic://meet?seed={seed}&dives={dives}&pause={pause_s:g}&pace=fast"
        meet = plan_meet(settings_of(parse_source(address)))
        if meet.num_frames >= stream_s * meet.settings.rate:
            return address, meet
        dives += max(1, dives // 10)


def run_session(arguments: Sequence[str]) -> Session:
    """Run ``mcore-run`` to its end, and look at its memory meanwhile; a UserError has what it said if it refuses."""
    with tempfile.TemporaryDirectory(prefix="mcore-bench-") as name:
        folder, memory = Path(name), list[tuple[float, float]]()
        command = [sys.executable, "-m", "mcore_runtime.run", *arguments, "--json", "--headless", "--quiet",
                   "--session", str(folder / "session")]  # fmt: skip
        began_s = time.monotonic()
        with (folder / "lines").open("wb") as lines, (folder / "errors").open("wb") as errors:
            process = psutil.Popen(command, stdout=lines, stderr=errors)
            while True:
                with suppress(psutil.Error):  # it has just ended
                    memory.append((time.monotonic() - began_s, process.memory_info().rss / 1e6))
                with suppress(psutil.TimeoutExpired):
                    code = process.wait(_SAMPLE_S)
                    break
        wall_s = time.monotonic() - began_s
        if code not in (0, 1):  # 1: a dive has no score, which the caller counts
            raise UserError(f"mcore-run ended with code {code}: {(folder / 'errors').read_text().strip()}")
        said = (folder / "lines").read_text(encoding="utf-8").splitlines()
    # A later line of the same number takes the place of an earlier one.
    dives = {dive.number: dive for dive in (decode(DiveLine, line, "mcore-run") for line in said)}
    return Session(tuple(dives.values()), wall_s, tuple(sample for sample in memory if sample[1]))


def growth_mb(session: Session) -> float:
    """Return how much memory grew over the later part: the straight line through its samples."""
    if len(session.settled) < _MIN_SAMPLES:
        raise UserError("the session was too short to say anything of its memory: try --hours 0.1")
    settled = np.array(session.settled)  # (N, 2)
    return float(np.polyfit(settled[:, 0], settled[:, 1], 1)[0] * np.ptp(settled[:, 0]))


def soak_table(session: Session, meet: Meet) -> Table:
    """Return a long session in figures."""
    detected = [DetectedDive(dive.takeoff_s, dive.entry_s, 1.0, "body") for dive in session.dives]  # whoever found it
    pairs, alarms = match(meet.truth, detected)
    settled_mb = [memory_mb for _, memory_mb in session.settled]
    figures: dict[str, tuple[Value, str]] = {
        "stream, hours": (meet.num_frames / meet.settings.rate / 3600, ".2f"),
        "took, minutes": (session.wall_s / 60, ".0f"),
        "dives": (len(meet.truth), "d"),
        "found": (len(pairs), "d"),
        "false alarms": (len(alarms), "d"),
        "scored": (session.scored, "d"),
        "frames dropped": (sum(dive.dropped for dive in session.dives), "d"),
    }
    times_ms = [dive.time_to_score_ms for dive in session.dives if dive.time_to_score_ms is not None]
    for name, percentile in {"p50": 50, "p90": 90, "p99": 99, "max": 100}.items():
        time_ms = float(np.percentile(times_ms, percentile)) if times_ms else None
        figures[f"time to score ms, {name}"] = (time_ms, ".0f")
    figures |= {
        "least memory, MB": (min(settled_mb), ".0f"),
        "most": (max(settled_mb), ".0f"),
        "growth": (growth_mb(session), "+.1f"),
    }
    columns = {heading: form for heading, (_, form) in figures.items()}
    note = "Memory is of the last three quarters of the session; growth is the straight line through its samples."
    return make_table("a long live session", columns, [tuple(value for value, _ in figures.values())], note)
