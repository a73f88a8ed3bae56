"""Pictures of dives for people, of the very frames that were scored: film strip and compared moments."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mcore.video import SampledClip
from mcore_runtime.bundle.moments import Moment, draw_moments, to_jpeg
from mcore_runtime.report.filmstrip import NUM_PICTURES, choose_frames, strip_size
from mcore_runtime.session.dive import LiveDive
from mcore_runtime.session.pictures import from_video

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_MAX_DRAWN = 64
"""Dives whose pictures, some 200 kB each, stay in memory."""
_MAX_CLIPS = 4
"""Clips of some 6 MB that are at hand before the store has them."""


@dataclass(frozen=True)
class DivePictures:
    """Pictures of one dive."""

    strip: tuple[bytes, ...]
    """JPEGs evenly spaced in time, the transitions among them."""
    moments: tuple[Moment, ...]
    """The moments that are compared with an exemplar's; none where the transitions are not known."""


class Strips:
    """The pictures of the last dives, made when they are first asked for.

    Args:
        load: returns the frames of a dive that was kept, or None.
        tokens_per_stage: K of the network.
        folder: of the session, with videos of the dives; None: there are none.
        on_failure: told once of each dive whose pictures cannot be drawn, and why; they are for show, so nothing is
            raised.
    """

    def __init__(
        self,
        load: Callable[[int], SampledClip | None],
        tokens_per_stage: int,
        folder: Path | None,
        on_failure: Callable[[int, str], None] = lambda number, reason: None,
    ) -> None:
        self._load, self._tokens_per_stage = load, tokens_per_stage
        self._folder, self._on_failure = folder, on_failure
        self._failed: set[tuple[int, tuple[int, ...]]] = set()
        self._clips: OrderedDict[int, SampledClip] = OrderedDict()
        self._drawn: OrderedDict[tuple[int, tuple[int, ...]], DivePictures] = OrderedDict()
        self._lock, self._clips_lock = threading.Lock(), threading.Lock()

    def add(self, number: int, clip: SampledClip) -> None:
        """Have the frames of a new dive at hand; does not wait for pictures that are being drawn."""
        with self._clips_lock:
            _put(self._clips, number, clip, _MAX_CLIPS)

    def get(self, dive: LiveDive) -> DivePictures | None:
        """Return a dive's pictures; None: its frames were not kept, or cannot be drawn.

        One at a time, however many ask.
        """
        transitions = () if dive.result is None else dive.result.transitions
        key = dive.number, transitions  # another score has other transitions
        with self._lock:
            drawn = self._drawn.get(key)
            if key in self._failed:
                return None
            if drawn is None:
                with self._clips_lock:
                    clip = self._clips.get(dive.number)
                clip = clip or self._load(dive.number)
                if clip is None:
                    return None
                is_coming, sharp = False, None
                try:
                    if self._folder is not None and dive.recording is not None:
                        is_coming = not (self._folder / dive.recording).exists()
                        sharp = from_video(self._folder, dive, clip)
                    drawn = draw(sharp or clip, transitions, self._tokens_per_stage)
                except Exception as error:
                    self._failed.add(key)
                    self._on_failure(dive.number, f"{type(error).__name__}: {error}")
                    return None
                if is_coming:  # the video is still being written, and its pictures are better
                    return drawn
            _put(self._drawn, key, drawn, _MAX_DRAWN)
            return drawn


def draw(clip: SampledClip, transitions: Sequence[int], tokens_per_stage: int) -> DivePictures:
    """Return a dive's pictures in the source's aspect ratio.

    Args:
        clip: its frames may be as narrow as the network takes them; they are stretched back.
        transitions: first frame of flight and of entry; none: not known.
        tokens_per_stage: K of the network.
    """
    size = strip_size(clip.source_width, clip.source_height)
    chosen = choose_frames(clip.pts_seconds, transitions, NUM_PICTURES)
    strip = tuple(to_jpeg(clip.frames[frame], size) for frame in chosen)
    return DivePictures(strip, draw_moments(clip, transitions, tokens_per_stage) if transitions else ())


def _put(kept: OrderedDict[_Key, _Value], key: _Key, value: _Value, limit: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > limit:
        kept.popitem(last=False)
