"""Measure what a head start is worth: time from a dive's last frame to its score, with it and without, in turns.

    python -m mcore_bench.live.latency --bundle demo/bundle --backend openvino --dives 40

A rendered meet runs at its own pace through the same source, ring, detector, recording and engine as mcore-run. Every
second dive is begun before it is over, the others are computed from the whole clip, so that whatever else the machine
does falls on both alike.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from mcore.common.cli_help import description
from mcore.common.errors import UserError, run_command
from mcore.common.files import write_text
from mcore_runtime.backends import BackendName
from mcore_runtime.bundle.records import Precision
from mcore_runtime.live.dives import CutDive, LiveDive, percentiles
from mcore_runtime.live.headstart import HeadStart, Window
from mcore_runtime.live.pipeline import LivePipeline, LiveSettings
from mcore_runtime.live.ring import FrameRing
from mcore_runtime.live.scorer_thread import EngineThread
from mcore_runtime.live.scoring import failed, new_record, scored
from mcore_runtime.scoring.scorer import Scorer
from mcore_runtime.sources import open_source

_PARTS = ("decode_preprocess", "backbone_prefix", "backbone", "segmenter", "regressor", "total")


@dataclass(frozen=True)
class Side:
    """What one way of computing took."""

    dives: int
    time_to_score_ms: Mapping[str, float]
    """p50, p90, p99 and max, from the arrival of a clip's last frame to its score."""
    median_ms: Mapping[str, float]
    """Of each part of the computation, as in ``DiveScore.timing_ms``."""


@dataclass(frozen=True)
class Latency:
    """A measured run."""

    backend: str
    provider: str
    precision: str
    bundle_sha256: str
    source: str
    prefix_frames: int
    """Sampled frames that were computed before a clip was over."""
    num_frames: int
    """Sampled frames of a clip."""
    whole: Side
    """Computed from the whole clip."""
    begun: Side
    """Begun before the clip was over."""
    missed: int
    """Dives that should have been begun and were computed whole: their frames came otherwise than foreseen."""
    unscored: int
    """Dives without a score."""
    created: str

    @property
    def speedup(self) -> float:
        """How many times sooner the median score comes."""
        return self.whole.time_to_score_ms["p50"] / self.begun.time_to_score_ms["p50"]


@dataclass(frozen=True)
class LatencyArguments:
    """Measure the time from a dive's last frame to its score, with a head start and without."""

    bundle: Path
    """Folder made by mcore-export."""
    backend: BackendName = "auto"
    """Inference engine."""
    precision: Precision | None = None
    """Arithmetic of the graphs; default: fp32."""
    threads: int | None = None
    """CPU threads; default: the engine's choice."""
    num_exemplars: int = 10
    """Exemplars that a dive is compared with; the published number is 10."""
    dives: int = 40
    """Dives of the meet; about fourteen seconds each."""
    seed: int = 1
    """Seed of the meet."""
    source: str | None = None
    """Another source, such as a camera, in place of the meet; it has to end."""
    json: Path | None = None
    """Write all figures to this .json file."""

    def __post_init__(self) -> None:
        if self.dives < 2:
            raise UserError(f"{self.dives} dives; at least 2, one of each kind")
        if self.json is not None and self.json.suffix != ".json":
            raise UserError(f"--json writes to a file that ends in .json, got {str(self.json)!r}")


class EveryOther(HeadStart):
    """Begins every second clip only."""

    def __init__(self, prefix_frames: int, offer: Callable[[Callable[[Scorer], None]], bool]) -> None:
        super().__init__(prefix_frames, offer)
        self._number: dict[Window, int] = {}

    def update(self, ring: FrameRing, windows: Iterable[Window]) -> None:
        """Begin what can be begun, and count clips as they appear."""
        known = [(window, self._number.setdefault(window, len(self._number))) for window in windows]
        super().update(ring, [window for window, number in known if number % 2 == 0])


def measure(engine: EngineThread, address: str, *, on_dive: Callable[[LiveDive], None] = lambda dive: None) -> Latency:
    """Run a source to its end.

    Args:
        engine: its scorer has a backbone in two parts.
        address: of the source.
        on_dive: told of every dive, in the engine's thread.

    Raises:
        UserError: the scorer has no backbone in two parts, or one of the two ways scored no dive.
    """
    scorer = engine.scorer
    if scorer.split is None:
        raise UserError(f"nothing to compare: {scorer.no_split}. Export the bundle again, or choose another --backend")
    dives: list[LiveDive] = []
    should_begin: list[bool] = []

    def keep(dive: LiveDive) -> None:
        dives.append(dive)
        on_dive(dive)

    def take(cut: CutDive) -> None:
        should_begin.append(cut.head is not None)
        record = new_record(len(should_begin), cut, None)
        if record.status == "invalid":
            keep(record)
            return
        engine.submit(lambda scorer: keep(scored(scorer, record, cut)), lambda error: keep(failed(record, error)))

    with open_source(address) as source:
        start = EveryOther(scorer.split.prefix_frames, engine.offer)
        LivePipeline(source, scorer.clip_config, LiveSettings(), take, head_start=start).run()
        engine.drain()
    results = [dive for dive in dives if dive.result is not None]
    begun = [dive for dive in results if _was_begun(dive)]
    whole = [dive for dive in results if not _was_begun(dive) and not should_begin[dive.number - 1]]
    return Latency(
        backend=scorer.backend.name,
        provider=scorer.backend.provider,
        precision=scorer.compute_dtype,
        bundle_sha256=scorer.bundle.sha256,
        source=source.uri.public,
        prefix_frames=scorer.split.prefix_frames,
        num_frames=scorer.clip_config.num_frames,
        whole=_side(whole, "computed from their whole clip"),
        begun=_side(begun, "begun early"),
        missed=len(results) - len(begun) - len(whole),
        unscored=len(dives) - len(results),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def _was_begun(dive: LiveDive) -> bool:
    return dive.result is not None and "backbone_prefix" in dive.result.timing_ms


def _side(dives: Sequence[LiveDive], what: str) -> Side:
    if not dives:
        raise UserError(f"no dives were {what}: the source has too few, or the detector saw none; try --dives 20")
    timings = [dive.result.timing_ms for dive in dives if dive.result is not None]
    parts = [part for part in _PARTS if all(part in timing for timing in timings)]
    return Side(
        dives=len(dives),
        time_to_score_ms=percentiles([dive.time_to_score_ms for dive in dives]),
        median_ms={part: float(np.median([timing[part] for timing in timings])) for part in parts},
    )


def table(latency: Latency) -> Table:
    """Both ways side by side."""
    shown = Table(
        title=f"{latency.backend} {latency.precision}, {latency.prefix_frames} of {latency.num_frames} frames"
    )
    for heading in ("", "from whole clips", "begun early"):
        shown.add_column(heading, justify="left" if not heading else "right")
    whole, begun = latency.whole, latency.begun
    shown.add_row("dives", str(whole.dives), str(begun.dives))
    for name in whole.time_to_score_ms:
        times = (side.time_to_score_ms[name] for side in (whole, begun))
        shown.add_row(f"last frame to score, {name}, ms", *(f"{time:.0f}" for time in times))
    for part in _PARTS:
        both = (side.median_ms.get(part) for side in (whole, begun))
        shown.add_row(f"{part.replace('_', ' ')}, median ms", *("" if ms is None else f"{ms:.1f}" for ms in both))
    return shown


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(
        lambda: _run(
            tyro.cli(
                LatencyArguments,
                prog="python -m mcore_bench.live.latency",
                args=argv,
                description=description(__doc__),
            )
        )
    )


def _run(arguments: LatencyArguments) -> int:
    def open_scorer() -> Scorer:
        return Scorer(
            arguments.bundle,
            arguments.backend,
            precision=arguments.precision,
            threads=arguments.threads,
            num_exemplars=arguments.num_exemplars,
            streaming=True,
        )

    address = arguments.source or f"synthetic://meet?seed={arguments.seed}&dives={arguments.dives}&pause=2"
    console = Console(soft_wrap=True)
    with EngineThread(open_scorer) as engine, _progress() as progress:
        task = progress.add_task("dives", total=None if arguments.source else arguments.dives)
        latency = measure(engine, address, on_dive=lambda dive: progress.advance(task))
    console.print(table(latency))
    console.print(
        f"{latency.speedup:.1f} times sooner; {latency.missed} head starts missed, {latency.unscored} dives without a "
        f"score ({latency.provider})",
        markup=False,
    )
    if arguments.json is not None:
        figures = asdict(latency) | {"speedup": latency.speedup}
        write_text(arguments.json, json.dumps(figures, indent=2, allow_nan=False) + "\n")
    return 0


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(console=console, disable=not console.is_terminal, transient=True)


if __name__ == "__main__":
    sys.exit(main())
