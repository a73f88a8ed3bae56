"""From a stream to scores: frames into the ring, dives out of the detector or the operator, clips to the engine.

The caller's thread watches the stream, the source's thread receives it, and one thread owns the engine. Frames that the
watcher does not take in time are dropped by a live source, newest wins; dives are never dropped.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mcore.config import ClipConfig
from mcore.errors import UserError
from mcore.video import resize_frame
from mcore_runtime.live.detector import BallisticDetector, DetectedDive, Detector
from mcore_runtime.live.dives import LiveDive, RunSummary, Status, summarise
from mcore_runtime.live.engine import EngineThread
from mcore_runtime.live.recording import Recording
from mcore_runtime.live.ring import MAX_GAP_S, CutClip, FrameRing, NotEnoughFrames
from mcore_runtime.result import DiveScore
from mcore_runtime.scorer import Scorer, video_facts
from mcore_runtime.sources import Frame, Source, SourceState, SourceStatus

Mode = Literal["auto", "manual", "whole-file"]
_POLL_S = 0.1
_PATIENCE_S = 1.0
"""A clip whose last frames do not come is closed this long after they were due."""
_ENOUGH_BEFORE_S, _ENOUGH_AFTER_S = 0.5, 0.6
"""A recording may begin this little before a take-off, and end this little after an entry: FineDiving's clips do."""


@dataclass(frozen=True)
class LiveSettings:
    """How dives are cut from the stream."""

    mode: Mode = "auto"
    """``auto``: the detector finds dives; ``manual``: the operator says when one ended; ``whole-file``: the stream is
    one dive. The operator can add dives in every mode."""
    dive_number: str | None = None
    """Number of the dives, such as 407C; None: unknown."""
    any_exemplar: bool = False
    """Compare with all exemplars where there are none of this number."""
    manual_before_s: float = 3.5
    """A clip that the operator asks for begins this long before, seconds."""
    manual_after_s: float = 1.5
    """And ends this long after."""
    max_gap_s: float = MAX_GAP_S
    """Longest time between two frames of a valid clip, seconds."""
    ring_frames: int = 1024
    """Frames kept for clips."""
    record: Path | None = None
    """Folder for the video of each dive; None: none is kept."""

    def __post_init__(self) -> None:
        if min(self.manual_before_s, self.manual_after_s) < 0 or self.manual_before_s + self.manual_after_s < 1:
            raise UserError(
                f"a manual clip from {self.manual_before_s:g} s before to {self.manual_after_s:g} s after; give at "
                "least 1 s in all, and nothing negative"
            )
        if self.max_gap_s <= 0:
            raise UserError(f"max_gap_s is {self.max_gap_s:g}; give more than 0 s")


@dataclass(frozen=True)
class _Pending:
    """A clip whose end has not come yet."""

    start_s: float
    end_s: float
    found_by: str
    takeoff_s: float | None = None
    entry_s: float | None = None


class LivePipeline:
    """Watches one source and scores its dives.

    Args:
        source: a running source.
        engine: owner of the scorer.
        settings: how dives are cut.
        on_dive: told of every dive, in the engine's thread; must not raise.
        on_status: told when the source's state changes, in the caller's thread.
        detector: finds dives; None: ``BallisticDetector``.
    """

    def __init__(
        self,
        source: Source,
        engine: EngineThread,
        settings: LiveSettings,
        on_dive: Callable[[LiveDive], None],
        *,
        on_status: Callable[[SourceStatus], None] | None = None,
        detector: Detector | None = None,
    ) -> None:
        self._source, self._engine, self._settings, self._on_dive = source, engine, settings, on_dive
        self._on_status, self._state = on_status, SourceState.CONNECTING
        self._detector = detector
        config = engine.scorer.clip_config
        self._ring = FrameRing(config, capacity=settings.ring_frames, source=source.uri.public)
        self._small = ClipConfig() if _detector_size(config) is None else None
        self._pending: list[_Pending] = []
        self._asked = threading.Semaphore(0)
        self._stop = threading.Event()
        self._recording = None if settings.record is None else Recording()
        self._last: Frame | None = None
        self._count = 0
        self._dives: list[LiveDive] = []

    def trigger(self) -> None:
        """Say that a dive has just ended; from any thread."""
        self._asked.release()

    def stop(self) -> None:
        """End ``run`` soon; from any thread, or a signal handler."""
        self._stop.set()

    def run(self) -> RunSummary:
        """Watch until the source ends or ``stop`` is called; then wait for the last score.

        Raises:
            UserError: the source failed for good; dives before that are scored first.
        """
        try:
            while not self._stop.is_set():
                frame = self._source.read(_POLL_S)
                if frame is not None:
                    self._take(frame)
                elif self._source.is_over:
                    break
                self._take_requests()
                self._close_due()
                self._watch_state()
        finally:
            self._finish()
        status = self._source.status()
        return summarise(self._dives, frames=status.frames, dropped=status.dropped, connections=status.connections)

    def _take(self, frame: Frame) -> None:
        if self._last is None:
            self._ring.reader = self._source.status().reader or self._ring.reader
        self._last = frame
        picture = self._ring.add(frame)
        if self._recording is not None:
            self._recording.add(frame)
        if self._settings.mode != "auto":
            return
        if self._detector is None:
            self._detector = BallisticDetector(frame.rgb.shape[1] / frame.rgb.shape[0])
        seen: NDArray[np.uint8] = picture if self._small is None else resize_frame(frame.rgb, self._small)
        for dive in self._detector.update(seen, frame.time_s, gap=frame.gap is not None):
            self._pending.append(_pending_of(dive))

    def _watch_state(self) -> None:
        if self._on_status is None or (state := self._source.state) is self._state:
            return
        self._state = state
        self._on_status(self._source.status())

    def _take_requests(self) -> None:
        while self._last is not None and self._asked.acquire(blocking=False):
            now_s, settings = self._last.time_s, self._settings
            self._pending.append(
                _Pending(now_s - settings.manual_before_s, now_s + settings.manual_after_s, "operator")
            )

    def _close_due(self) -> None:
        """Hand over the clips whose end has come, or should have come."""
        if self._last is None:
            return
        silent_s = time.monotonic() - self._last.captured_s if self._source.uri.is_live else 0.0
        due = [p for p in self._pending if self._is_due(p, silent_s)]
        self._pending = [p for p in self._pending if p not in due]
        for pending in due:
            self._hand_over(pending)

    def _is_due(self, pending: _Pending, silent_s: float) -> bool:
        assert self._last is not None
        left_s = pending.end_s - self._last.time_s
        return left_s <= 0 or silent_s > left_s + _PATIENCE_S

    def _finish(self) -> None:
        """The stream is over: close what is open, and wait for the engine."""
        for pending in self._pending:
            self._hand_over(pending, ended=True)
        self._pending = []
        if self._settings.mode == "whole-file" and self._last is not None:
            self._hand_over(_Pending(self._ring.first_s, self._last.time_s + _POLL_S, "whole-file"), ended=True)
        if self._recording is not None:
            self._recording.close()
        self._engine.close()

    def _hand_over(self, pending: _Pending, *, ended: bool = False) -> None:
        """Cut a clip, keep its video, and queue it for the engine."""
        self._count += 1
        number = self._count
        start_s, end_s = self._whole_enough(pending, ended)
        recording, notes = self._record(number, pending)
        cut: CutClip | None = None
        try:
            cut = self._ring.cut(start_s, end_s, max_gap_s=self._settings.max_gap_s)
            faults = (*cut.faults, *self._overflow(pending))
        except NotEnoughFrames as error:
            faults = (str(error),)
        arrived_s = self._last.captured_s if self._last is not None else time.monotonic()
        dive = LiveDive(
            number=number,
            status="invalid",
            dive_number=self._settings.dive_number,
            found_by=pending.found_by,
            created="",
            source=self._source.uri.public,
            start_s=pending.start_s if cut is None else cut.start_s,
            end_s=pending.end_s if cut is None else cut.end_s,
            takeoff_s=pending.takeoff_s,
            entry_s=pending.entry_s,
            time_to_score_ms=None,
            dropped=0 if cut is None else cut.dropped,
            reasons=faults,
            notes=notes,
            recording=recording,
        )
        self._engine.submit(lambda scorer: self._report(_scored(scorer, dive, cut, arrived_s, self._settings)))

    def _whole_enough(self, pending: _Pending, ended: bool) -> tuple[float | None, float | None]:
        """Where a recording begins or ends within a dive's clip, take what it has, if that is enough."""
        start_s: float | None = pending.start_s
        end_s: float | None = pending.end_s
        if pending.found_by == "whole-file":
            return None, None
        begins_late = self._ring.first_s > pending.start_s and self._count_is_whole
        if begins_late and pending.takeoff_s is not None and pending.takeoff_s - self._ring.first_s >= _ENOUGH_BEFORE_S:
            start_s = None
        is_file = ended and not self._source.uri.is_live
        if is_file and pending.entry_s is not None and self._ring.last_s - pending.entry_s >= _ENOUGH_AFTER_S:
            end_s = None
        return start_s, end_s

    @property
    def _count_is_whole(self) -> bool:
        """Whether the ring still holds the stream's first frame."""
        return len(self._ring) < self._settings.ring_frames

    def _overflow(self, pending: _Pending) -> tuple[str, ...]:
        if pending.found_by != "whole-file" or self._count_is_whole:
            return ()
        return (f"the file has more than {self._settings.ring_frames} frames; cut it, or use another mode",)

    def _record(self, number: int, pending: _Pending) -> tuple[str | None, tuple[str, ...]]:
        """Write the dive's video: its file and what to note. Where it fails, the dive is scored all the same."""
        folder = self._settings.record
        if self._recording is None or folder is None:
            return None, ()
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S")
        path = folder / f"dive-{stamp}-{number:04d}.mp4"
        try:
            self._recording.write(path, pending.start_s, pending.end_s)
        except (UserError, OSError) as error:
            return None, (f"no video was kept: {error}",)
        return str(path), ()

    def _report(self, dive: LiveDive) -> None:
        self._dives.append(dive)
        self._on_dive(dive)


def _scored(scorer: Scorer, dive: LiveDive, cut: CutClip | None, arrived_s: float, settings: LiveSettings) -> LiveDive:
    """Score a clip in the engine's thread; whatever goes wrong becomes part of the dive's record."""
    status: Status = "invalid"
    result: DiveScore | None = None
    reasons, took_ms = dive.reasons, None
    if cut is not None and not dive.reasons:
        try:
            comparison = scorer.select(settings.dive_number, any_exemplar=settings.any_exemplar)
            facts = video_facts(cut.clip, cut.start_s, cut.end_s)
            result = scorer.score_clip(cut.clip, comparison, video=facts)
            status, took_ms = "scored", (time.monotonic() - arrived_s) * 1e3
        except Exception as error:  # an engine that fails must not end the competition: the dive is kept
            status, reasons = "failed", (f"{type(error).__name__}: {error}",)
    created = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    return replace(dive, status=status, result=result, reasons=reasons, time_to_score_ms=took_ms, created=created)


def _pending_of(dive: DetectedDive) -> _Pending:
    start_s, end_s = dive.window_s
    return _Pending(start_s, end_s, dive.witness, dive.takeoff_s, dive.entry_s)


def _detector_size(config: ClipConfig) -> tuple[int, int] | None:
    """Return the size if the scorer's pictures are large enough for the detector."""
    wanted = ClipConfig()
    same = (config.resize_height, config.resize_width) == (wanted.resize_height, wanted.resize_width)
    return (wanted.resize_height, wanted.resize_width) if same else None
