"""Film strips of dives for people, from the very frames that were scored."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

from PIL import Image

from mcore.video import SampledClip
from mcore_runtime.report.filmstrip import NUM_PICTURES, choose_frames, fit

_JPEG_QUALITY = 82
_MOST_KEPT = 64
"""Strips of some 100 kB each that stay in memory."""


class Strips:
    """The strips of the last dives, made when they are first asked for.

    Args:
        load: returns the frames of a dive and its transitions, or None where there are none.
    """

    def __init__(self, load: Callable[[int], tuple[SampledClip, Sequence[int]] | None]) -> None:
        self._load = load
        self._strips: OrderedDict[int, list[bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, number: int) -> list[bytes] | None:
        """Return a dive's strip; None: its frames were not kept. One at a time, however many ask."""
        with self._lock:
            strip = self._strips.get(number)
            if strip is None:
                loaded = self._load(number)
                return None if loaded is None else self._keep(number, draw(*loaded))
            self._strips.move_to_end(number)
            return strip

    def put(self, number: int, clip: SampledClip, transitions: Sequence[int]) -> None:
        """Draw the strip of a dive whose frames are at hand, in place of what there was."""
        strip = draw(clip, transitions)
        with self._lock:
            self._keep(number, strip)

    def _keep(self, number: int, strip: list[bytes]) -> list[bytes]:
        self._strips[number] = strip
        self._strips.move_to_end(number)
        if len(self._strips) > _MOST_KEPT:
            self._strips.popitem(last=False)
        return strip


def draw(clip: SampledClip, transitions: Sequence[int]) -> list[bytes]:
    """Return JPEGs of frames evenly spaced in time, the transitions among them, in the source's aspect ratio.

    Args:
        clip: its frames are as narrow as the network takes them; they are stretched back.
        transitions: first frame of flight and of entry; none: not known.
    """
    size = fit(clip.source_width, clip.source_height)
    return [_jpeg(clip, frame, size) for frame in choose_frames(clip.pts_seconds, transitions, NUM_PICTURES)]


def _jpeg(clip: SampledClip, frame: int, size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(clip.frames[frame]).resize(size, Image.Resampling.BICUBIC)
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()
