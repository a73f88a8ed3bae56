"""The last seconds of a stream, small enough to keep, and the cutting of clips from them.

The frames are kept as the scorer takes them, resized (67 kB each at 112 x 200), because a clip's sampling grid is known
only when the clip is over. Full frames are kept as encoded video only, see ``mcore_runtime.live.recording``: raw, ten
seconds of 1080p at 60 frames a second are 3.7 GB.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import UserError
from mcore.config import ClipConfig
from mcore.video import SampledClip, resize_frame, sample_indices_by_time
from mcore.video.sampling import clip_window, shown_seconds
from mcore_runtime.live.predicted_grid import expected_times, frame_period, predicted_end
from mcore_runtime.sources.frame import Frame

MAX_GAP_S = 0.25
"""Longest time between two frames of a valid clip: half a somersault."""
_RECENT = 64
"""Frames that tell the stream's rate."""


@dataclass(frozen=True, eq=False)
class CutClip:
    """A clip cut from a stream, and whether it is whole."""

    clip: SampledClip
    start_s: float
    """Time of its first frame on the stream's clock."""
    end_s: float
    """Time of its last frame on the stream's clock."""
    reasons: tuple[str, ...]
    """Reasons why it is not whole, and must not be scored as if it were; empty: it is."""
    dropped: int
    """Frames within it that nobody took in time; a fault only where they leave a gap."""


class NotEnoughFrames(Exception):
    """A clip of fewer than two frames was asked for."""


class FrameRing:
    """The last frames of a stream in a buffer of fixed size.

    Args:
        config: size and number of the frames that the scorer takes.
        capacity: frames it holds; 1024 are 17 s at 60 frames a second, and 69 MB.
        source: what clips say they come from.
        reader: what decoded them.
    """

    def __init__(self, config: ClipConfig, *, capacity: int = 1024, source: str = "", reader: str = "pyav") -> None:
        if capacity < 2:
            raise UserError(f"a ring of {capacity} frames; at least 2")
        self.config = config
        self.source = source
        self.reader = reader
        shape = (capacity, config.resize_height, config.resize_width, 3)
        self._pictures = np.empty(shape, np.uint8)
        self._times = np.full(capacity, np.nan)
        self._sequences = np.zeros(capacity, np.int64)
        self._gaps: list[str | None] = [None] * capacity
        self._sizes = np.zeros((capacity, 2), np.int64)
        self._count = 0

    def __len__(self) -> int:
        return min(self._count, len(self._times))

    @property
    def first_s(self) -> float:
        """Time of the oldest frame, seconds; NaN before the first."""
        return float(self._times[self._order()[0]]) if self._count else float("nan")

    @property
    def last_s(self) -> float:
        """Time of the newest frame, seconds; NaN before the first."""
        return float(self._times[(self._count - 1) % len(self._times)]) if self._count else float("nan")

    @property
    def period_s(self) -> float:
        """Time between two frames, seconds; 1 before the second."""
        times = self._recent()
        return frame_period(times) if len(times) > 1 else 1.0

    def add(self, frame: Frame) -> NDArray[np.uint8]:
        """Keep a frame, in the place of the oldest.

        Args:
            frame: later than the one before.

        Returns:
            (resize_height, resize_width, 3) the resized picture, a view that is valid until the ring comes round.
        """
        slot = self._count % len(self._times)
        picture: NDArray[np.uint8] = self._pictures[slot]
        resize_frame(frame.rgb, self.config, picture)
        self._times[slot] = frame.time_s
        self._sequences[slot] = frame.sequence
        self._gaps[slot] = frame.gap
        self._sizes[slot] = frame.rgb.shape[1], frame.rgb.shape[0]
        self._count += 1
        return picture

    def cut(self, start_s: float | None, end_s: float | None, *, max_gap_s: float = MAX_GAP_S) -> CutClip:
        """Cut a clip as ``mcore.video.sample_clip`` cuts it from a file: the same frames, the same numbers.

        Args:
            start_s: begin with the first frame at or after this time; None: with the oldest.
            end_s: end before the first frame at or after this time; None: with the newest.
            max_gap_s: a longer time between frames makes the clip invalid.

        Raises:
            NotEnoughFrames: fewer than two frames in this window.
        """
        order = self._order()
        times = self._times[order]
        window = clip_window(times, start_s, end_s)
        count = window.stop - window.start
        if count < 2:
            raise NotEnoughFrames(f"the stream has {max(0, count)} frame(s) in this window; a clip needs at least 2")
        slots = order[window]
        times = times[window]
        pts_seconds = times - times[0]
        indices = sample_indices_by_time(times, self.config.num_frames)
        clip = SampledClip(
            frames=self._pictures[slots[indices]],
            pts_seconds=pts_seconds[indices],
            indices=indices,
            num_source_frames=count,
            duration_s=shown_seconds(pts_seconds),
            source_width=int(self._sizes[slots[-1], 0]),
            source_height=int(self._sizes[slots[-1], 1]),
            source=self.source,
            reader=self.reader,
        )
        dropped = int(self._sequences[slots[-1]] - self._sequences[slots[0]]) - (count - 1)
        reasons = self._gap_reasons(slots, start_s, end_s, max_gap_s)
        return CutClip(clip, float(times[0]), float(times[-1]), reasons, dropped)

    def predict_end(self, end_s: float) -> float:
        """Move the end of a clip that is not over to the middle between two frames; see ``predicted_end``."""
        return predicted_end(self._recent(), end_s)

    def ends_before_next(self, end_s: float) -> bool:
        """Return whether the next frame, if it comes when it should, lies behind a clip's end."""
        times = self._recent()
        return bool(len(times) > 1 and times[-1] + frame_period(times) >= end_s)

    def predict_first(self, start_s: float | None, end_s: float | None, count: int) -> NDArray[np.uint8] | None:
        """Return what the first sampled frames of a clip that is not over will be, if the stream stays steady.

        Args:
            start_s: as for ``cut``.
            end_s: as for ``cut``; without it nothing can be said.
            count: frames that are wanted, at most ``config.num_frames``.

        Returns:
            (count, resize_height, resize_width, 3) a copy; None while one of them has not come.
        """
        order = self._order()
        seen = order[clip_window(self._times[order], start_s, None)]
        if end_s is None or len(seen) < 2:
            return None
        times = expected_times(self._times[seen], end_s)
        if len(times) < 2:
            return None
        wanted = sample_indices_by_time(times, self.config.num_frames)[:count]
        if wanted[-1] >= len(seen):
            return None
        first: NDArray[np.uint8] = self._pictures[seen[wanted]]
        return first

    def _recent(self) -> NDArray[np.float64]:
        """Times of the newest frames, oldest first."""
        recent: NDArray[np.float64] = self._times[self._order()[-_RECENT:]]
        return recent

    def _order(self) -> NDArray[np.int64]:
        """Slots from the oldest frame to the newest."""
        size = len(self._times)
        if self._count <= size:
            return np.arange(self._count)
        return np.roll(np.arange(size), -(self._count % size))

    def _gap_reasons(
        self, slots: NDArray[np.int64], start_s: float | None, end_s: float | None, max_gap_s: float
    ) -> tuple[str, ...]:
        times = self._times[slots]
        reasons = []
        if start_s is not None and times[0] - start_s > max_gap_s:
            reasons.append(f"its first {times[0] - start_s:.2f} s are missing")
        reasons += [
            f"{self._gaps[slot]} ({time_s - times[0]:.2f} s after its start)"
            for slot, time_s in zip(slots[1:].tolist(), times[1:].tolist(), strict=True)
            if self._gaps[slot] is not None
        ]
        longest = int(np.diff(times).argmax())
        if (gap_s := float(times[longest + 1] - times[longest])) > max_gap_s:
            reasons.append(f"no frames for {gap_s:.2f} s ({times[longest] - times[0]:.2f} s after its start)")
        if end_s is not None and end_s - times[-1] > max_gap_s:
            reasons.append(f"its last {end_s - times[-1]:.2f} s are missing")
        return tuple(reasons)
