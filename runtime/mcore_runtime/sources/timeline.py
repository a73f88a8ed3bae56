"""Time axis of a stream, which survives reconnections, jumping clocks and cameras without a clock."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

from mcore_runtime.sources.frame import Picture

_DRIFT_GAIN = 1e-3
"""Share of the distance between the camera's clock and ours that is corrected with each picture: clocks drift by
seconds in a day, while a network's jitter of 0.1 s moves a picture by no more than 0.1 ms."""
_MAX_DRIFT_S = 2e-4
"""Largest correction with one picture: what a stream is late after a stall is no drift."""
_JUMP_S = 2.0
"""A camera's clock that goes on by this much more than ours, from one picture to the next, has jumped."""
_MAX_OFF_S = 10.0
"""A stream that was held up catches up within this time; one that stays late longer has lost what lay between. It may
begin with what a server had kept: pictures come this much faster than they were taken, but no more."""
_PROGRESS_S = 0.5
"""A stream that is late by this much less than before is catching up."""
_STILL_PICTURES, _STILL_S = 5, 0.1
"""Pictures of one time, and seconds in which they came, after which a camera's clock is believed no more."""
_TICK_S = 1e-3
"""Smallest distance of two pictures: times must increase, also when they are written with 90,000 ticks a second."""


class LiveTimeline:
    """Times of a live stream: the camera's spacing, on ``time.monotonic()``'s axis.

    A stream that stalls and then catches up delivers a burst: its pictures come late, but were taken when their own
    times say. Only a clock whose times themselves leap, or run backwards, has jumped. One that stands still is none:
    pictures count as taken when they come then.
    """

    def __init__(self) -> None:
        self._offset_s: float | None = None
        self._last_s = float("-inf")
        self._last_media_s = self._last_received_s = 0.0
        self._late_s = self._late_since_s = 0.0
        self._still = 0
        self._still_since_s = 0.0

    def restart(self) -> None:
        """A new connection begins: its clock has nothing to do with the last one's."""
        self._offset_s = None
        self._still = 0

    def place(self, picture: Picture) -> tuple[float, str | None]:
        """Return the time of a picture, later than the one before, and what is wrong where its clock jumped."""
        jumped = None
        if picture.media_s is not None and self._still < _STILL_PICTURES:
            jumped = self._notice_standstill(picture.received_s, picture.media_s)
        if picture.media_s is None or self._still >= _STILL_PICTURES:
            time_s = picture.received_s
        else:
            jumped = self._follow(picture.received_s, picture.media_s)
            assert self._offset_s is not None
            time_s = picture.media_s + self._offset_s
        self._last_s = max(time_s, self._last_s + _TICK_S)
        return self._last_s, jumped

    def _notice_standstill(self, received_s: float, media_s: float) -> str | None:
        """Count pictures that the camera gives one time, though they come one after the other."""
        if self._offset_s is None or abs(media_s - self._last_media_s) >= _TICK_S:
            self._still, self._still_since_s = 0, received_s
        elif received_s - self._still_since_s > _STILL_S * (self._still + 1) / _STILL_PICTURES:
            self._still += 1
        if self._still < _STILL_PICTURES:
            return None
        return "the camera's clock stands still: pictures count as taken when they come"

    def _follow(self, received_s: float, media_s: float) -> str | None:
        """Bring the offset between both clocks up to date, and say what is wrong with the camera's."""
        jumped = None
        if self._offset_s is None:
            self._offset_s = received_s - media_s
            self._late_s = 0.0
        else:
            leap_s = media_s - self._last_media_s - (received_s - self._last_received_s)
            late_s = received_s - media_s - self._offset_s
            if not _JUMP_S < self._late_s - _PROGRESS_S < late_s:  # in time, late for the first time, or catching up
                self._late_s, self._late_since_s = late_s, received_s
            self._late_s = max(self._late_s, late_s)
            if media_s < self._last_media_s or leap_s > _JUMP_S:
                jumped = f"the camera's clock jumped by {leap_s:+.1f} s"
            elif late_s < -_MAX_OFF_S:
                jumped = f"the camera's clock ran ahead by {-late_s:.1f} s"
            elif received_s - self._late_since_s > _MAX_OFF_S:
                jumped = f"the stream stood still for {late_s:.1f} s, and has not caught up"
            if jumped is None:
                self._offset_s += min(max(_DRIFT_GAIN * late_s, -_MAX_DRIFT_S), _MAX_DRIFT_S)
            else:
                self._offset_s += late_s
                self._late_s = 0.0
        self._last_media_s, self._last_received_s = media_s, received_s
        return jumped


class FileTimeline:
    """Times of a recording, as they are, from its first picture on.

    Where they run backwards, as after joining recordings, they go on instead.
    """

    def __init__(self) -> None:
        self._shift_s: float | None = None
        self._last_s = float("-inf")
        self._period_s = 0.04

    def place(self, picture: Picture) -> tuple[float, str | None]:
        """Return the time of a picture, and what is wrong where times ran backwards."""
        media_s = picture.media_s or 0.0
        if self._shift_s is None:
            self._shift_s = -media_s
        time_s = media_s + self._shift_s
        if time_s > self._last_s:
            if self._last_s > float("-inf"):
                self._period_s = time_s - self._last_s
            self._last_s = time_s
            return time_s, None
        jump_s = self._last_s + self._period_s - time_s
        self._shift_s += jump_s
        is_still = abs(time_s - self._last_s) < _TICK_S
        self._last_s = time_s + jump_s
        return self._last_s, f"its times {'stand still' if is_still else 'run backwards'} here"


def paced(pictures: Iterable[Picture]) -> Iterator[Picture]:
    """Yield recorded pictures when their time has come, as a camera would; the first at once.

    Where their times run backwards or leap, the pace begins anew there: nobody waits for hours, or not at all.
    """
    offset_s, last_s = 0.0, float("-inf")
    for picture in pictures:
        media_s = picture.media_s or 0.0
        if not 0.0 <= media_s - last_s <= _MAX_OFF_S:
            offset_s = time.monotonic() - media_s
        last_s = media_s
        time.sleep(max(0.0, offset_s + media_s - time.monotonic()))
        yield replace(picture, received_s=time.monotonic())
