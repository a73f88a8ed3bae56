"""A session that does what a test tells it: what the page needs, without camera and engine."""

from __future__ import annotations

import io
import threading
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mcore.common.likeness import Likeness
from mcore.data.trained_on import TrainedOn, caution
from mcore_runtime.bundle.moments import Moment
from mcore_runtime.competition import Competition, Entry
from mcore_runtime.live.broadcast import Broadcast, DiveNews, SnapshotChanged, Subscription
from mcore_runtime.live.commands import Command, Rescore, Stop, Trigger
from mcore_runtime.live.session_state import SessionState
from mcore_runtime.live.snapshot import state_part
from mcore_runtime.live.state import apply
from mcore_runtime.meet.feed import FeedStatus
from mcore_runtime.meet.record import MeetProgress
from mcore_runtime.report.exemplar_comparison import ComparedMoments
from mcore_runtime.scoring.result import BackendFacts, DiveScore, ExemplarComparison, VideoFacts
from mcore_runtime.session import DiveStatus, FoundBy, LiveDive

ENTRIES = (
    Entry(1, "Ada Example", "Springfield DC", "107B", 3.1, 1),
    Entry(2, "Bo Sample", "Shelbyville", "407C", 3.4, 1),
    Entry(3, "Cléo <b>Třída</b>", "", "5253B", 3.2, 1),
    Entry(4, "Ada Example", "Springfield DC", "205B", None, 2),
)
CAUTION = caution(TrainedOn(rendered=240))
_STARTED = datetime(2026, 11, 23, 9, 0, tzinfo=timezone.utc)


class FakeSession:
    """Implements ``mcore_runtime.web.protocols.Session``.

    Args:
        folder: where clips are.
        entries: the start list.
    """

    def __init__(self, folder: Path, entries: tuple[Entry, ...] = ENTRIES) -> None:
        self.folder = folder
        self.competition = Competition.begin(entries)
        self.records: dict[int, LiveDive] = {}
        self.news = Broadcast()
        self.commands: list[Command] = []
        self.state: dict[str, Any] = {"problem": None, "detector": "watching", "default": None, "state": "streaming"}
        self.source: dict[str, Any] = {"error": None, "silent_s": 0.04}
        self.health: dict[str, Any] = {"disk_free_mb": 50_000.0, "temperature_c": 61.2}
        self.frame: tuple[int, NDArray[np.uint8]] | None = (0, np.full((180, 320, 3), 90, np.uint8))
        self.pictures_taken = self.snapshots_taken = 0
        self.has_exemplars = True
        self.meet: MeetProgress | None = None
        self.meet_feed: FeedStatus | None = None
        self._revision = 1
        self._lock = threading.Lock()

    def snapshot(self) -> dict[str, Any]:
        with self._lock:
            found = {
                "version": 1,
                "revision": self._revision,
                "session": {
                    "name": "autumn-cup",
                    "started": _STARTED.isoformat(),
                    "mode": "auto",
                    "edition": "2025",
                    "bundle": "bundle",
                    "bundle_sha256": "0" * 64,
                    "caution": CAUTION,
                    "backend": "onnxruntime",
                    "provider": "CPUExecutionProvider",
                    "precision": "fp32",
                    "folder": str(self.folder),
                    "problem": self.state["problem"],
                },
                "source": {
                    "name": "camera://0",
                    "state": self.state["state"],
                    "size": [320, 180],
                    "is_live": True,
                    "frames": 1000,
                    "dropped": 2,
                    "connections": 2,
                    "failures": 1,
                    "frames_per_second": 25.0,
                    **self.source,
                },
                "detector": {"state": self.state["detector"]},
                **state_part(self._session_state()),
                "meet_feed": msgspec.to_builtins(self.meet_feed),
                "health": {
                    "time_to_score_ms": {"p50": 131.0, "p90": 140.0, "p99": 151.0, "max": 151.0},
                    "queue": 0,
                    "memory_mb": 300.0,
                    "cpu_percent": 60.0,
                    "power_w": None,
                    "power_source": None,
                    **self.health,
                },
            }
            self.snapshots_taken += 1
            return found

    def dive(self, number: int) -> LiveDive | None:
        return self.records.get(number)

    def subscribe(self) -> Subscription:
        return self.news.subscribe()

    def picture(self) -> tuple[int, NDArray[np.uint8]] | None:
        self.pictures_taken += 1
        return self.frame

    def strip(self, number: int) -> list[bytes] | None:
        return None if number not in self.records else [_jpeg(20 * i) for i in range(12)]

    def exemplar_comparison(self, number: int) -> ComparedMoments | None:
        record = self.records.get(number)
        if record is None or record.result is None or not self.has_exemplars:
            return None
        dive = tuple(Moment(0.25 * i, _jpeg(15 * i)) for i in range(15))
        other = tuple(Moment(0.2 * i, _jpeg(255 - 15 * i)) for i in range(15))
        return ComparedMoments(record.result.exemplars[0].name, dive, other)

    def clip_path(self, number: int) -> Path | None:
        record = self.records.get(number)
        return None if record is None or record.recording is None else self.folder / record.recording

    def do(self, command: Command) -> None:
        """Do what the page's buttons ask; the rest is only remembered."""
        self.commands.append(command)
        if not isinstance(command, Trigger | Rescore | Stop):
            after = apply(self._session_state(), command).state
            self.competition, self.records, self.meet = after.competition, dict(after.dives), after.meet
            self.state["default"] = after.default_dive_number
        self.changed()

    def _session_state(self) -> SessionState:
        return SessionState(self.competition, self.state["default"], self.records, meet=self.meet)

    def changed(self) -> None:
        with self._lock:
            self._revision += 1
        self.news.send(SnapshotChanged())

    def show_frame(self, sequence: int, level: int = 120) -> None:
        self.frame = (sequence, np.full((180, 320, 3), level, np.uint8))

    def add_dive(
        self,
        score: float = 71.2,
        *,
        status: str = "scored",
        reasons: tuple[str, ...] = (),
        interval_level: float | None = None,
    ) -> int:
        """A dive takes place, and is scored at once."""
        number = len(self.records) + 1
        self.competition = self.competition.add_dive(number)
        record = dive_record(number, self.competition.entry_of(number), score, DiveStatus(status), reasons)
        if record.result is not None:
            record = replace(record, result=replace(record.result, interval_level=interval_level))
        self.records[number] = record
        self.news.send(DiveNews(record))
        self.changed()
        return number

    def alter(self, number: int, **changes: Any) -> None:
        """Change a dive's record, unnoticed."""
        self.records[number] = replace(self.records[number], **changes)


def dive_record(
    number: int, entry: Entry | None, score: float, status: DiveStatus, reasons: tuple[str, ...] = ()
) -> LiveDive:
    """A dive with a result of six exemplars."""
    seen = zip((-0.3, 0.8, 1.9, -2.4, 3.7, 5.0), (-4.0, -1.5, 0.2, 1.0, 1.8, 2.5), strict=True)
    exemplars = tuple(
        ExemplarComparison(f"train/{i:04d}.mp4", "107B", score + off - delta, delta, score + off)
        for i, (delta, off) in enumerate(seen)
    )
    is_unlike = status is DiveStatus.UNLIKE
    result = DiveScore(
        score=score,
        low=None if is_unlike else score - 2.75,
        high=None if is_unlike else score + 2.15,
        dive_number=None if entry is None else entry.dive_number,
        description="words",
        difficulty=3.1,
        same_dive_number=True,
        transitions=(30, 70),
        transitions_s=(1.2, 2.6),
        stage_deltas=(-0.8, 1.5, 0.75),
        shares_trusted=(True, False, True),
        exemplars=exemplars,
        timing_ms={"total": 80.0},
        video=VideoFacts("camera://0", "pyav", 320, 180, 98, 3.9),
        backend=BackendFacts("onnxruntime", "CPUExecutionProvider", "fp32", "0" * 64),
        caution=CAUTION,
        likeness=Likeness(0.04, 0.04, 50.0, reasons) if is_unlike else None,
    )
    has_result = status in (DiveStatus.SCORED, DiveStatus.UNLIKE)
    return LiveDive(
        number=number,
        status=status,
        dive_number=None if entry is None else entry.dive_number,
        found_by=FoundBy.MOTION,
        created=(_STARTED + timedelta(minutes=number)).isoformat(timespec="milliseconds"),
        source="camera://0",
        start_s=10.0,
        end_s=13.9,
        time_to_score_ms=131.0 if has_result else None,
        result=result if has_result else None,
        reasons=reasons,
        recording_start_s=9.6,
        order=None if entry is None else entry.order,
        athlete="" if entry is None else entry.athlete,
        club="" if entry is None else entry.club,
    )


def _jpeg(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (200, 112), (level, 90, 160)).save(buffer, "JPEG")
    return buffer.getvalue()


def write_video(path: Path, seconds: float = 2.0) -> None:
    """A small MP4, as a session keeps it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(round(25 * seconds)):
            picture = np.full((48, 64, 3), 5 * i % 255, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
