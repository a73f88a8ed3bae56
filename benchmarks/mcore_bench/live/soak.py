"""Run a whole session for hours, as fast as the machine can, and say whether it found every dive and stayed as it was.

    python -m mcore_bench.live.soak --bundle demo/bundle --hours 2

A rendered meet goes through the same source, ring, detector, recording, engine, store and disk as mcore-run; only the
pace is another. Exit code: 0; 1 where memory grew by more than allowed, or a dive has no score; 2 for a mistake.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.progress import Progress

from mcore.common.cli_help import description
from mcore.common.errors import UserError, run_command
from mcore.common.files import write_text
from mcore.synthetic.meet.course import Meet, plan_meet
from mcore_bench.live.detector import match
from mcore_runtime.backends import BackendName
from mcore_runtime.detector import DetectedDive
from mcore_runtime.health import HealthReader
from mcore_runtime.live.dives import Record
from mcore_runtime.live.plan import RunPlan
from mcore_runtime.live.scorer_thread import EngineThread
from mcore_runtime.live.session import LiveSession
from mcore_runtime.session import SessionStore
from mcore_runtime.sources import open_source, parse_source
from mcore_runtime.sources.rendered import settings_of

_SETTLED_SHARE = 0.25
"""Of the session, after which nothing should be filled any more: caches, pools of the engine."""
_SAMPLES, _LOOK_S = 120, 0.5
"""Samples of a whole session, and how often it is looked whether the next one is due, seconds."""


@dataclass(frozen=True)
class Sample:
    """The process at one moment."""

    stream_s: float
    """How much of the stream it has seen, seconds."""
    dives: int
    memory_mb: float
    """Resident memory."""


@dataclass(frozen=True)
class Soak:
    """A session in figures."""

    source: str
    backend: str
    precision: str
    bundle_sha256: str
    stream_s: float
    """Length of the stream, seconds."""
    took_s: float
    """How long it took to run through it, seconds."""
    dives: int
    """Dives that really took place."""
    found: int
    false_alarms: int
    scored: int
    unscored: int
    """Clips without a score, whatever the reason."""
    dropped: int
    """Frames that the pipeline never saw."""
    time_to_score_ms: Mapping[str, float]
    samples: tuple[Sample, ...]
    created: str

    @property
    def settled(self) -> tuple[Sample, ...]:
        """The samples of the later part."""
        return tuple(sample for sample in self.samples if sample.stream_s >= _SETTLED_SHARE * self.stream_s)

    @property
    def growth_mb(self) -> float:
        """How much memory grew over the later part, megabytes: the straight line through its samples.

        Raises:
            UserError: there are too few of them.
        """
        if len(self.settled) < 3:
            raise UserError("the stream is too short, or this machine does not tell its memory: try --hours 0.1")
        times = np.array([sample.stream_s for sample in self.settled])
        memory = np.array([sample.memory_mb for sample in self.settled])
        return float(np.polyfit(times, memory, 1)[0] * np.ptp(times))


@dataclass(frozen=True)
class SoakArguments:
    """Run a whole session for hours, as fast as the machine can, and watch memory, dives and scores."""

    bundle: Path
    """Folder made by mcore-export."""
    hours: float = 2.0
    """Length of the stream."""
    seed: int = 1
    """Seed of the meet."""
    pause_s: float = 8.0
    """Mean pause between dives, seconds."""
    backend: BackendName = "auto"
    """Inference engine."""
    threads: int | None = None
    """CPU threads; default: the engine's choice."""
    most_growth_mb: float = 32.0
    """Most that memory may grow over the last three quarters of the stream, megabytes."""
    json: Path | None = None
    """Write all figures to this .json file."""

    def __post_init__(self) -> None:
        if not 0.01 <= self.hours <= 1000:
            raise UserError(f"--hours is {self.hours}; allowed: 0.01 to 1000")
        if self.json is not None and self.json.suffix != ".json":
            raise UserError(f"--json writes to a file that ends in .json, got {str(self.json)!r}")


def plan_soak(seed: int, stream_s: float, pause_s: float) -> tuple[str, Meet]:
    """Return address and truth of a meet that lasts at least this long.

    Args:
        seed: of the meet.
        stream_s: seconds.
        pause_s: mean pause between dives, seconds.
    """
    dives = max(2, round(stream_s / (pause_s + 12)))
    while True:
        address = f"synthetic://meet?seed={seed}&dives={dives}&pause={pause_s:g}&pace=fast"
        meet = plan_meet(settings_of(parse_source(address)))
        if meet.num_frames >= stream_s * meet.settings.rate:
            return address, meet
        dives += max(1, dives // 10)


def soak(plan: RunPlan, meet: Meet, folder: Path, *, on_sample: Progress | None = None) -> Soak:
    """Run a session to its end.

    Args:
        plan: of the session; its address is the meet's.
        meet: what really happens in it.
        folder: for the session.
        on_sample: shows how far it is.
    """
    samples: list[Sample] = []
    rate, over = meet.settings.rate, threading.Event()
    task = None if on_sample is None else on_sample.add_task("minutes of stream", total=meet.num_frames / rate / 60)
    began_s = time.monotonic()
    with ExitStack() as stack:
        engine = stack.enter_context(EngineThread(plan.open_scorer))
        store = SessionStore.create(folder, plan.facts(engine.scorer))
        stack.callback(store.close)
        source = stack.enter_context(open_source(plan.address))
        session = stack.enter_context(LiveSession(source, engine, plan.settings, store=store))

        health, every_s = HealthReader(), meet.num_frames / rate / _SAMPLES

        def look() -> None:
            seen_s, memory_mb = source.status().frames / rate, health.read(folder)["memory_mb"]
            if memory_mb is not None and seen_s >= every_s + (samples[-1].stream_s if samples else 0.0):
                samples.append(Sample(seen_s, session.summary().dives, memory_mb))
            if on_sample is not None and task is not None:
                on_sample.update(task, completed=seen_s / 60)

        def watch() -> None:
            while not over.wait(_LOOK_S):
                look()

        watcher = threading.Thread(target=watch, name="watch")
        watcher.start()
        try:
            summary = session.run()
        finally:
            over.set()
            watcher.join()
        look()
        records = [session.dive(number) for number in range(1, summary.dives + 1)]
        scorer = engine.scorer
    pairs, alarms = match(meet.truth, [_detected(record) for record in records if record is not None])
    return Soak(
        source=parse_source(plan.address).public,
        backend=scorer.backend.name,
        precision=scorer.precision,
        bundle_sha256=scorer.bundle.sha256,
        stream_s=meet.num_frames / rate,
        took_s=time.monotonic() - began_s,
        dives=len(meet.truth),
        found=len(pairs),
        false_alarms=len(alarms),
        scored=summary.scored,
        unscored=summary.dives - summary.scored,
        dropped=summary.dropped,
        time_to_score_ms=summary.time_to_score_ms,
        samples=tuple(samples),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def _detected(record: Record) -> DetectedDive:
    return DetectedDive(record["takeoff_s"], record["entry_s"], 1.0, record["found_by"])


def describe(result: Soak) -> str:
    """Say in a few lines what happened.

    Raises:
        UserError: there are too few samples of the memory.
    """
    growth_mb, memory = result.growth_mb, [sample.memory_mb for sample in result.settled]
    times = ", ".join(f"{name} {value:.0f}" for name, value in result.time_to_score_ms.items())
    return (
        f"{result.stream_s / 3600:.2f} hours of stream in {result.took_s / 60:.0f} minutes, {result.backend} "
        f"{result.precision}\n"
        f"dives: {result.found} of {result.dives} found, {result.false_alarms} false alarms, {result.scored} scored, "
        f"{result.unscored} without a score, {result.dropped} frames dropped\n"
        f"time to score in ms: {times}\n"
        f"memory: {result.samples[0].memory_mb:.0f} MB after {result.samples[0].stream_s / 60:.0f} minutes, "
        f"{min(memory):.0f} to {max(memory):.0f} MB in the last three quarters, {growth_mb:+.1f} MB from their "
        "beginning to their end"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(
        lambda: _run(
            tyro.cli(SoakArguments, prog="python -m mcore_bench.live.soak", args=argv, description=description(__doc__))
        )
    )


def _run(arguments: SoakArguments) -> int:
    address, meet = plan_soak(arguments.seed, 3600 * arguments.hours, arguments.pause_s)
    plan = RunPlan(address, arguments.bundle, backend=arguments.backend, threads=arguments.threads)
    console = Console(stderr=True)
    with (
        tempfile.TemporaryDirectory(prefix="mcore-soak-") as folder,
        Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        result = soak(plan, meet, Path(folder) / "session", on_sample=progress)
    print(describe(result))
    if arguments.json is not None:
        figures = asdict(result) | {"growth_mb": result.growth_mb}
        write_text(arguments.json, json.dumps(figures, indent=2, allow_nan=False) + "\n")
    return 0 if result.growth_mb <= arguments.most_growth_mb and result.unscored == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
