"""A session that does what a test tells it: what the page needs, without camera and engine."""

from __future__ import annotations

import io
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mcore.common.errors import UserError
from mcore_runtime.bundle.moments import Moment
from mcore_runtime.competition import Competition, Entry
from mcore_runtime.live.events import Broadcast, Subscription
from mcore_runtime.report.exemplar_comparison import ExemplarComparison

ENTRIES = (
    Entry(1, "Ada Example", "Springfield DC", "107B", 3.1, 1),
    Entry(2, "Bo Sample", "Shelbyville", "407C", 3.4, 1),
    Entry(3, "Cléo <b>Třída</b>", "", "5253B", 3.2, 1),
    Entry(4, "Ada Example", "Springfield DC", "205B", None, 2),
)
_STARTED = datetime(2026, 11, 23, 9, 0, tzinfo=timezone.utc)


class FakeSession:
    """Implements ``mcore_runtime.web.protocols.Session``.

    Args:
        folder: where clips are.
        entries: the start list.
    """

    def __init__(self, folder: Path, entries: tuple[Entry, ...] = ENTRIES) -> None:
        self.folder = folder
        self.competition = Competition(entries)
        self.records: dict[int, dict[str, Any]] = {}
        self.news = Broadcast()
        self.commands: list[tuple[str, dict[str, Any]]] = []
        self.state: dict[str, Any] = {"problem": None, "detector": "watching", "default": None, "state": "streaming"}
        self.source: dict[str, Any] = {"error": None, "silent_s": 0.04}
        self.health: dict[str, Any] = {"disk_free_mb": 50_000.0, "temperature_c": 61.2}
        self.frame: tuple[int, NDArray[np.uint8]] | None = (0, np.full((180, 320, 3), 90, np.uint8))
        self.pictures_taken = 0
        self.has_exemplars = True
        self._revision = 1
        self._lock = threading.Lock()

    def snapshot(self) -> dict[str, Any]:
        with self._lock:
            current = self.competition.current
            scores = {n: r["result"]["score"] for n, r in self.records.items() if r["status"] == "scored"}
            return {
                "version": 1,
                "revision": self._revision,
                "session": {
                    "name": "autumn-cup",
                    "started": _STARTED.isoformat(),
                    "mode": "auto",
                    "bundle": "bundle",
                    "bundle_sha256": "0" * 64,
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
                "current": None if current is None else current.to_json(),
                "default_dive_number": self.state["default"],
                "start_list": [entry.to_json() for entry in self.competition.entries],
                "dives": [_row(record) for record in self.records.values()],
                "ranking": [row.to_json() for row in self.competition.ranking(scores)],
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

    def dive(self, number: int) -> dict[str, Any] | None:
        return self.records.get(number)

    def subscribe(self) -> Subscription:
        return self.news.subscribe()

    def picture(self) -> tuple[int, NDArray[np.uint8]] | None:
        self.pictures_taken += 1
        return self.frame

    def strip(self, number: int) -> list[bytes] | None:
        return None if number not in self.records else [_jpeg(20 * i) for i in range(12)]

    def exemplar_comparison(self, number: int) -> ExemplarComparison | None:
        if self.records.get(number, {}).get("result") is None or not self.has_exemplars:
            return None
        dive = tuple(Moment(0.25 * i, _jpeg(15 * i)) for i in range(15))
        other = tuple(Moment(0.2 * i, _jpeg(255 - 15 * i)) for i in range(15))
        return ExemplarComparison(self.records[number]["result"]["exemplars"][0]["name"], dive, other)

    def clip_path(self, number: int) -> Path | None:
        record = self.records.get(number)
        return None if record is None or record["recording"] is None else self.folder / record["recording"]

    def command(self, name: str, **arguments: Any) -> None:
        """Do what the page's buttons ask; the rest is only remembered."""
        self.commands.append((name, arguments))
        if name in ("skip", "back"):
            getattr(self.competition, name)()
        elif name == "go_to":
            self.competition.go_to(arguments["order"])
        elif name == "edit":
            order = arguments.pop("order")
            self.competition.edit(order, arguments)
        elif name == "set_dive":
            self.state["default"] = arguments["dive_number"]
        elif name in ("void", "restore"):
            record = self.records.get(arguments["number"])
            if record is None:
                raise UserError(f"there is no dive {arguments['number']}")
            record["status"] = "void" if name == "void" else "scored"
            getattr(self.competition, name)(arguments["number"])
        self.changed()

    def changed(self) -> None:
        with self._lock:
            self._revision += 1
        self.news.send({"type": "changed"})

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
        entry = self.competition.dive_took_place(number)
        record = dive_record(number, entry, score, status, reasons)
        if record["result"] is not None:
            record["result"]["interval_level"] = interval_level
        self.records[number] = record
        self.news.send({"type": "dive", "dive": record})
        self.changed()
        return number


def dive_record(
    number: int, entry: Entry | None, score: float, status: str, reasons: tuple[str, ...] = ()
) -> dict[str, Any]:
    """A dive as ``LiveDive.to_json`` writes it."""
    seen = zip((-0.3, 0.8, 1.9, -2.4, 3.7, 5.0), (-4.0, -1.5, 0.2, 1.0, 1.8, 2.5), strict=True)
    exemplars = [
        {
            "name": f"train/{i:04d}.mp4",
            "dive_number": "107B",
            "score": score + off - delta,
            "delta": delta,
            "predicted_score": score + off,
        }
        for i, (delta, off) in enumerate(seen)
    ]
    result = {
        "score": score,
        "low": score - 2.75,
        "high": score + 2.15,
        "interval_level": None,
        "dive_number": None if entry is None else entry.dive_number,
        "description": "words",
        "difficulty": 3.1,
        "same_dive_number": True,
        "transitions": [30, 70],
        "transitions_s": [1.2, 2.6],
        "stage_deltas": {"take-off": -0.8, "flight": 1.5, "entry": 0.75},
        "exemplars": exemplars,
        "timing_ms": {"total": 80.0},
        "video": {"duration_s": 3.9},
        "notes": [],
    }
    return {
        "number": number,
        "status": status,
        "dive_number": None if entry is None else entry.dive_number,
        "found_by": "body",
        "created": (_STARTED + timedelta(minutes=number)).isoformat(timespec="milliseconds"),
        "source": "camera://0",
        "start_s": 10.0,
        "end_s": 13.9,
        "time_to_score_ms": 131.0 if status == "scored" else None,
        "result": result if status == "scored" else None,
        "reasons": list(reasons),
        "notes": [],
        "recording": None,
        "recording_start_s": 9.6,
        "order": None if entry is None else entry.order,
        "athlete": "" if entry is None else entry.athlete,
        "club": "" if entry is None else entry.club,
    }


def _row(record: dict[str, Any]) -> dict[str, Any]:
    names = ["number", "status", "dive_number", "athlete", "club", "order", "time_to_score_ms", "created", "reasons"]
    result = record["result"] or {}
    return {name: record[name] for name in (*names, "notes")} | {
        "score": result.get("score"),
        "low": result.get("low"),
        "high": result.get("high"),
        "interval_level": result.get("interval_level"),
        "same_dive_number": result.get("same_dive_number"),
        "has_clip": record["recording"] is not None,
    }


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
