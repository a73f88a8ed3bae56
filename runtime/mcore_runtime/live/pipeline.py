"""Stream to clips: frames into the ring, dives out of the detector or the operator, each cut once it is over.

The caller's thread watches the stream, the source's thread receives it. Frames that the watcher does not take in time
are dropped by a live source, newest wins; dives are never dropped. What becomes of a clip is its receiver's business:
see ``mcore_runtime.live.session``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import UserError
from mcore.config import ClipConfig
from mcore.diving import NEWEST_YEAR, EditionYear
from mcore.video import resize_frame
from mcore.video.spotting import SPOTTER_WEIGHTS
from mcore_runtime.detector import FINDERS, MIN_AFTER_S, MIN_BEFORE_S, DetectedDive, Detector, JointDetector, stay
from mcore_runtime.live.cut_dive import CutDive
from mcore_runtime.live.prefix import PrefixScheduler
from mcore_runtime.live.recording import Recording
from mcore_runtime.live.ring import MAX_GAP_S, CutClip, FrameRing, NotEnoughFrames
from mcore_runtime.session.dive import FoundBy
from mcore_runtime.sources import Frame, Source, SourceState, SourceStatus

Mode = Literal["auto", "manual", "whole-file"]
_POLL_S = 0.1
_TIMEOUT_S = 1.0
"""A clip whose last frames do not come is closed this long after they were due."""
_DOUBLE_S = 1.0
"""Two requests of the operator within this time are one: nobody dives so fast, but fingers slip."""


@dataclass(frozen=True)
class LiveSettings:
    """Settings by which dives are cut from the stream."""

    mode: Mode = "auto"
    """``auto``: the detector finds dives; ``manual``: the operator says when one ended; ``whole-file``: the stream is
    one dive. The operator can add dives in every mode."""
    manual_before_s: float = 3.5
    """A clip that the operator asks for begins this long before, seconds."""
    manual_after_s: float = 1.5
    """And ends this long after."""
    max_gap_s: float = MAX_GAP_S
    """Longest time between two frames of a valid clip, seconds."""
    ring_frames: int = 1024
    """Frames kept for clips."""
    record: bool = True
    """Keep the video of each dive, at the cost of encoding the stream all the time."""
    edition: EditionYear = NEWEST_YEAR
    """Year of the diving rules with which the page says difficulties."""
    accept_unlike: bool = False
    """Count scores also of dives that are unlike those that the bundle knows."""
    hold_back: bool = False
    """Keep each score from everybody until the judges' awards are in; needs a meet that is listened to."""

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
    found_by: FoundBy
    takeoff_s: float | None = None
    entry_s: float | None = None


class LivePipeline:
    """Watches one source and cuts its dives out.

    Args:
        source: a running source.
        config: size and number of the frames that the scorer takes.
        settings: how dives are cut.
        on_dive: given every dive, in the caller's thread; must be quick.
        on_status: told when the source's state changes, in the caller's thread.
        prefixes: begins clips that are not over; None: nothing is begun.
        on_sight: told when a dive was seen, or asked for, whose clip is still to come; as ``on_status``.
        on_slow_motion: told of a dive in slow motion, which is not cut; as ``on_status``.
        detector: finds dives; None: ``JointDetector``.
        spotter: weights of that detector's spotter.
    """

    def __init__(
        self,
        source: Source,
        config: ClipConfig,
        settings: LiveSettings,
        on_dive: Callable[[CutDive], None],
        *,
        on_status: Callable[[SourceStatus], None] | None = None,
        on_sight: Callable[[], None] | None = None,
        on_slow_motion: Callable[[DetectedDive], None] | None = None,
        prefixes: PrefixScheduler | None = None,
        detector: Detector | None = None,
        spotter: Path = SPOTTER_WEIGHTS,
    ) -> None:
        self._source, self._settings, self._on_dive = source, settings, on_dive
        self._on_status, self._on_sight, self._state = on_status, on_sight, SourceState.CONNECTING
        self._on_slow_motion = on_slow_motion
        self._detector, self._spotter, self._prefixes = detector, spotter, prefixes
        self._ring = FrameRing(config, capacity=settings.ring_frames, source=source.uri.public)
        wanted = ClipConfig()
        fits = (config.resize_height, config.resize_width) == (wanted.resize_height, wanted.resize_width)
        self._small = None if fits else wanted
        self._pending: tuple[_Pending, ...] = ()
        self._asked = threading.Semaphore(0)
        self._asked_s = self._entry_s = float("-inf")
        self._stop = threading.Event()
        self._recording = Recording() if settings.record else None
        self._last: Frame | None = None
        self._seen: NDArray[np.uint8] | None = None
        self._beat_s = float("inf")

    @property
    def stands_still_s(self) -> float:
        """Since ``run`` last went round, which it does many times a second, frames or not; 0 before and after it."""
        return max(0.0, time.monotonic() - self._beat_s)

    @property
    def frame(self) -> Frame | None:
        """The newest frame; None: there has been none. For any thread, but not to be written to."""
        return self._last

    @property
    def sees_dive(self) -> bool:
        """Return whether a dive has been seen whose clip is not over yet; for any thread."""
        return bool(self._pending)

    def trigger(self) -> None:
        """Say that a dive has just ended; from any thread. Nothing happens where the detector saw it too."""
        self._asked.release()

    def stop(self) -> None:
        """End ``run`` soon; from any thread, or a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Watch until the source ends or ``stop`` is called; clips that are open then are closed.

        Raises:
            UserError: the source failed for good; dives before that are handed over first.
        """
        try:
            while not self._stop.is_set():
                self._beat_s = time.monotonic()
                frame = self._source.read(_POLL_S)
                if frame is not None:
                    self._take(frame)
                elif self._source.is_over:
                    break
                self._take_requests()
                self._begin_early()
                self._close_due()
                self._watch_state()
        finally:
            self._finish()
            self._watch_state()
            self._beat_s = float("inf")

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
            self._detector = JointDetector(frame.rgb.shape[1] / frame.rgb.shape[0], self._spotter)
        seen: NDArray[np.uint8] = picture if self._small is None else resize_frame(frame.rgb, self._small)
        self._seen = seen
        self._watch(frame.time_s, gap=frame.gap is not None)

    def _watch(self, time_s: float, *, gap: bool = False) -> None:
        """Show the newest picture to the detector."""
        assert self._detector is not None
        assert self._seen is not None
        for dive in self._detector.update(self._seen, time_s, gap=gap):
            if not dive.slow_motion:
                self._see(dive)
            elif self._on_slow_motion is not None:  # a replay was scored when it was live, or is of another day
                self._on_slow_motion(dive)

    def _see(self, dive: DetectedDive) -> None:
        """Take a dive from the detector; where the operator was faster, its times are the better ones."""
        start_s, end_s = dive.window_s
        others = (
            p for p in self._pending if p.found_by is not FoundBy.OPERATOR or not p.start_s < dive.entry_s < p.end_s
        )
        self._pending = tuple(others)
        self._entry_s = dive.entry_s
        self._await(_Pending(start_s, end_s, FoundBy(FINDERS[dive.found_by]), dive.takeoff_s, dive.entry_s))

    def _await(self, pending: _Pending) -> None:
        self._pending = (*self._pending, replace(pending, end_s=self._ring.predict_end(pending.end_s)))
        if self._on_sight is not None:
            self._on_sight()

    def _watch_state(self) -> None:
        if self._on_status is None or (state := self._source.state) is self._state:
            return
        self._state = state
        self._on_status(self._source.status())

    def _take_requests(self) -> None:
        while self._last is not None and self._asked.acquire(blocking=False):
            now_s, settings = self._last.time_s, self._settings
            start_s, end_s = now_s - settings.manual_before_s, now_s + settings.manual_after_s
            if now_s - self._asked_s < _DOUBLE_S or self._entry_s > start_s:
                continue
            self._asked_s = now_s
            self._await(_Pending(start_s, end_s, FoundBy.OPERATOR))

    def _begin_early(self) -> None:
        if self._prefixes is not None and self._pending:
            self._prefixes.update(self._ring, [self._clip_limits(p, ended=False) for p in self._pending])

    def _close_due(self) -> None:
        """Hand over the clips whose end has come, or should have come."""
        if self._last is None or not self._pending:
            return
        silent_s = 0.0 if self._source.keeps_all else time.monotonic() - self._last.captured_s
        due = [p for p in self._pending if self._is_due(p, silent_s)]
        for pending in due:
            self._hand_over(pending)
        self._pending = tuple(p for p in self._pending if p not in due)

    def _is_due(self, pending: _Pending, silent_s: float) -> bool:
        assert self._last is not None
        left_s = pending.end_s - self._last.time_s
        return left_s <= 0 or self._ring.ends_before_next(pending.end_s) or silent_s > left_s + _TIMEOUT_S

    def _finish(self) -> None:
        """The stream is over: close what is open."""
        if self._seen is not None and not self._source.is_live and not self._stop.is_set():
            for time_s in stay(self._ring.last_s, self._ring.period_s):
                self._watch(time_s)
        for pending in self._pending:
            self._hand_over(pending, ended=True)
        self._pending = ()
        if self._settings.mode == "whole-file" and self._last is not None:
            self._hand_over(_Pending(self._ring.first_s, self._last.time_s + _POLL_S, FoundBy.WHOLE_FILE), ended=True)
        if self._recording is not None:
            self._recording.close()

    def _hand_over(self, pending: _Pending, *, ended: bool = False) -> None:
        """Cut a clip and its video, and pass them on."""
        start_s, end_s = self._clip_limits(pending, ended)
        cut: CutClip | None = None
        try:
            cut = self._ring.cut(start_s, end_s, max_gap_s=self._settings.max_gap_s)
            reasons = (*cut.reasons, *self._overflow(pending))
        except NotEnoughFrames as error:
            reasons = (str(error),)
        video, video_start_s, notes = self._record(pending)
        dive = CutDive(
            found_by=pending.found_by,
            source=self._source.uri.public,
            clip=None if cut is None else cut.clip,
            start_s=pending.start_s if cut is None else cut.start_s,
            end_s=pending.end_s if cut is None else cut.end_s,
            takeoff_s=pending.takeoff_s,
            entry_s=pending.entry_s,
            arrived_s=time.monotonic() if self._last is None else self._last.captured_s,
            dropped=0 if cut is None else cut.dropped,
            reasons=reasons,
            notes=notes,
            video=video,
            video_start_s=video_start_s,
            prefix=None if self._prefixes is None else self._prefixes.take((start_s, end_s)),
        )
        self._on_dive(dive)

    def _clip_limits(self, pending: _Pending, ended: bool) -> tuple[float | None, float | None]:
        """Return start and end of a dive's clip; None where the recording begins or ends within it but has enough."""
        start_s: float | None = pending.start_s
        end_s: float | None = pending.end_s
        if pending.found_by is FoundBy.WHOLE_FILE:
            return None, None
        begins_late = self._ring.first_s > pending.start_s and self._holds_first_frame
        if begins_late and pending.takeoff_s is not None and pending.takeoff_s - self._ring.first_s >= MIN_BEFORE_S:
            start_s = None
        is_file = ended and not self._source.is_live
        if is_file and pending.entry_s is not None and self._ring.last_s - pending.entry_s >= MIN_AFTER_S:
            end_s = None
        return start_s, end_s

    @property
    def _holds_first_frame(self) -> bool:
        """Return whether the ring still holds the stream's first frame."""
        return len(self._ring) < self._settings.ring_frames

    def _overflow(self, pending: _Pending) -> tuple[str, ...]:
        if pending.found_by is not FoundBy.WHOLE_FILE or self._holds_first_frame:
            return ()
        return (f"the file has more than {self._settings.ring_frames} frames; cut it, or use another mode",)

    def _record(self, pending: _Pending) -> tuple[bytes | None, float | None, tuple[str, ...]]:
        """Copy the dive's video out of the recording; where there is none, the dive is scored all the same."""
        if self._recording is None:
            return None, None, ()
        try:
            video, first_s = self._recording.mp4(pending.start_s, pending.end_s)
        except UserError as error:
            return None, None, (f"no video was kept: {error}",)
        return video, first_s, ()
