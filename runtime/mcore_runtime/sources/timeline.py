"""Time axis of a stream, which survives reconnections, jumping clocks and cameras without a clock."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

from mcore_runtime.sources.frame import Picture

_DRIFT_GAIN = 1e-3
"""Share of the distance between the camera's clock and ours that is corrected with each picture: clocks drift by
seconds in a day, while a network's jitter of 0.1 s moves a picture by no more than 0.1 ms."""
_JUMP_S = 2.0
"""A camera's clock this far off ours has jumped."""
_TICK_S = 1e-6
"""Smallest distance of two pictures: times must increase."""


class LiveTimeline:
    """Times of a live stream: the camera's spacing, on ``time.monotonic()``'s axis."""

    def __init__(self) -> None:
        self._offset_s: float | None = None
        self._last_s = float("-inf")

    def restart(self) -> None:
        """A new connection begins: its clock has nothing to do with the last one's."""
        self._offset_s = None

    def place(self, picture: Picture) -> tuple[float, str | None]:
        """Return the time of a picture, later than the one before, and what is wrong where its clock jumped."""
        jumped = None
        if picture.media_s is None:
            time_s = picture.received_s
        else:
            if self._offset_s is None:
                self._offset_s = picture.received_s - picture.media_s
            late_s = picture.received_s - (picture.media_s + self._offset_s)
            if abs(late_s) > _JUMP_S:
                jumped = f"the camera's clock jumped by {late_s:+.1f} s"
                self._offset_s += late_s
            else:
                self._offset_s += _DRIFT_GAIN * late_s
            time_s = picture.media_s + self._offset_s
            if time_s < self._last_s and jumped is None:
                jumped = "the camera's clock ran backwards"
        self._last_s = max(time_s, self._last_s + _TICK_S)
        return self._last_s, jumped


class FileTimeline:
    """Times of a file, as they are; where they run backwards, as after joining recordings, they go on instead."""

    def __init__(self) -> None:
        self._shift_s = 0.0
        self._last_s = float("-inf")
        self._period_s = 0.04

    def place(self, picture: Picture) -> tuple[float, str | None]:
        """Return the time of a picture, and what is wrong where times ran backwards."""
        time_s = (picture.media_s or 0.0) + self._shift_s
        if time_s > self._last_s:
            if self._last_s > float("-inf"):
                self._period_s = time_s - self._last_s
            self._last_s = time_s
            return time_s, None
        jump_s = self._last_s + self._period_s - time_s
        self._shift_s += jump_s
        self._last_s = time_s + jump_s
        return self._last_s, "its times run backwards here"


def paced(pictures: Iterable[Picture]) -> Iterator[Picture]:
    """Yield recorded pictures when their time has come, as a camera would; the first at once."""
    offset_s: float | None = None
    for picture in pictures:
        media_s = picture.media_s or 0.0
        offset_s = time.monotonic() - media_s if offset_s is None else offset_s
        time.sleep(max(0.0, offset_s + media_s - time.monotonic()))
        yield replace(picture, received_s=time.monotonic())
